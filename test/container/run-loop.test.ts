import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { outline } from '../conformance/outline.ts'
import {
  addedItems,
  type Cleanup,
  eventsOf,
  type Played,
  play,
  start,
} from '../conformance/replay.ts'
import { callsAnswer, failedAnswer, itemsAnswer, textAnswer } from '../fakes/model-server.ts'
import type { KnownModel } from '../fakes/service-rules.ts'

const touch = callsAnswer(['bash', { command: 'echo once >> ran' }])

test('no tool begins before the host has the call on its disk', async (t) => {
  const { agent, workspace } = await start(t, [touch, textAnswer()], { confirmsCalls: true })
  await agent.until('item')
  const { seq } = await agent.until('item')
  await agent.until('usage')
  // The answer is complete, and the host has confirmed all but the call.
  agent.send({ type: 'kept', seq: seq - 1 })
  expect(eventsOf(agent, 'tool.started')).toEqual([])
  expect(existsSync(join(workspace, 'ran'))).toBe(false)

  agent.send({ type: 'kept', seq })
  expect(await agent.finished()).toMatchObject({ status: 'done', toolCalls: 1 })
  expect(readFileSync(join(workspace, 'ran'), 'utf8')).toBe('once\n')
})

test('a call that waits for the host when the run is interrupted is not run, and says so', async (t) => {
  const { agent, workspace } = await start(t, [touch, textAnswer()], { confirmsCalls: true })
  await agent.until('usage')
  agent.send({ type: 'interrupt' })

  expect((await agent.finished()).status).toBe('interrupted')
  expect(existsSync(join(workspace, 'ran'))).toBe(false)
  expect(eventsOf(agent, 'item').at(-1)?.item).toMatchObject({
    type: 'function_call_output',
    call_id: 'call_1',
    output: expect.stringContaining('not run'),
  })
})

test.for([
  ['nothing', []],
  [
    'thoughts alone',
    [{ type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'gAAAA-e' }],
  ],
  ['a message without a word', [{ type: 'message', id: 'm', role: 'assistant', content: [] }]],
] as const)('a run that ends with %s fails: there is no answer', async ([, items], t) => {
  const { finished } = await play(t, [touch, itemsAnswer([...items])])

  expect(finished).toMatchObject({
    status: 'failed',
    toolCalls: 1,
    error: { code: 'model-failed', message: expect.stringContaining('ended without an answer') },
  })
})

test('a refusal that comes as an item alone is shown, and is an answer', async (t) => {
  const refusal = {
    type: 'message',
    id: 'm',
    role: 'assistant',
    content: [{ type: 'refusal', refusal: 'No.' }],
  }
  const { agent, finished } = await play(t, [itemsAnswer([refusal])])

  expect(finished.status).toBe('done')
  expect(eventsOf(agent, 'text.delta').map(({ text }) => text)).toEqual(['No.'])
})

test('a run without a prompt goes on where the history ends', async (t) => {
  const history = [
    { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Do it.' }] },
    { type: 'function_call', call_id: 'c', name: 'bash', arguments: '{}' },
    { type: 'function_call_output', call_id: 'c', output: 'done' },
  ]
  const { server, finished } = await play(t, [textAnswer()], {
    history,
    prompt: undefined as unknown as string,
  })

  expect(finished.status).toBe('done')
  expect(server.requests[0]?.body.input.slice(1)).toEqual(history)
})

describe.each<NonNullable<KnownModel['gate']>['words']>([
  'newer-version',
  'chatgpt-account',
  'not-found',
])('a model that the service has only for newer clients (%s)', (words) => {
  const models = [{ slug: 'gpt-9', gate: { words, version: '0.166.0' } }]
  const scene = (t: Cleanup, listed: object, script = [touch, textAnswer()]) =>
    play(t, script, { model: 'gpt-9', form: listed }, { models })
  const versionsOf = ({ server }: Played) =>
    server.requests.map((request) => request.header('version'))

  const noticesOf = ({ agent }: Played) =>
    eventsOf(agent, 'notice').flatMap(({ message }) => (message.includes('gpt-9') ? [message] : []))

  test('is asked again with the version that its entry names, which is said once', async (t) => {
    const played = await scene(t, { minimalClientVersion: '0.166.0' })

    expect(played.finished).toMatchObject({ status: 'done', turns: 2 })
    expect(versionsOf(played)).toEqual([undefined, '0.166.0', '0.166.0'])
    expect(noticesOf(played)).toEqual([
      'The service refused gpt-9, which its list of models has for clients of version 0.166.0 or newer; asking again with the header `version: 0.166.0`.',
    ])
  })

  test('is given up when that does not help', async (t) => {
    const played = await scene(t, { minimalClientVersion: '0.155.0' }, [])

    expect(versionsOf(played)).toEqual([undefined, '0.155.0'])
    expect(played.finished).toMatchObject({
      status: 'failed',
      error: {
        code: 'model-refused',
        // What is to be done stands last.
        message: expect.stringMatching(
          /^The header `version: 0\.155\.0`, .*, did not help\. .*gpt-9.*with --model(, or .*)?\.$/,
        ),
      },
    })
  })

  test('is given up at once when the list does not have it', async (t) => {
    const played = await scene(t, {}, [])

    expect(versionsOf(played)).toEqual([undefined])
    expect(played.finished.status).toBe('failed')
    expect(noticesOf(played)).toEqual([])
  })
})

test('images stand in front of the prompt', async (t) => {
  const url = 'data:image/png;base64,AAAA'
  const { server } = await play(t, [textAnswer()], { images: [url] })

  expect(server.requests[0]?.body.input.at(-1)).toMatchObject({
    role: 'user',
    content: [
      { type: 'input_image', image_url: url },
      { type: 'input_text', text: 'Say hello.' },
    ],
  })
})

test('images that are too large together lose the oldest, and that is said', async (t) => {
  const url = (letter: string) => `data:image/png;base64,${letter.repeat(13_000_000)}`
  const earlier = {
    type: 'message',
    role: 'user',
    content: [{ type: 'input_image', image_url: url('A') }],
  }
  const script = [textAnswer()]
  const { agent, server } = await play(t, script, { history: [earlier], images: [url('B')] })

  const sent = JSON.stringify(server.requests[0]?.body.input)
  expect([sent.includes(url('A')), sent.includes(url('B'))]).toEqual([false, true])
  expect(eventsOf(agent, 'repair').map(({ message }) => message)).toEqual([
    expect.stringContaining('images are left out'),
  ])
})

test('an output schema is a strict format of the text', async (t) => {
  const outputSchema = { type: 'object', properties: {}, additionalProperties: false }
  const { server } = await play(t, [textAnswer('{}')], { outputSchema, verbosity: 'low' })

  expect(server.requests[0]?.body.text).toEqual({
    verbosity: 'low',
    format: { type: 'json_schema', strict: true, schema: outputSchema, name: 'codexbox_output' },
  })
})

test('what was said to a run that fails stays in the conversation', async (t) => {
  const { agent } = await start(t, [
    { fault: 'no-answer' },
    failedAnswer('usage_not_included', 'No.'),
  ])
  await agent.until('retry')
  agent.send({ type: 'message', text: 'Before the boundary.' })
  const finished = await agent.finished()

  expect(finished).toMatchObject({ status: 'failed' })
  expect(JSON.stringify(eventsOf(agent, 'item'))).toContain('Before the boundary.')
})

test('reasoning that the service cannot read any more is dropped once, and that is said', async (t) => {
  const refused = {
    status: 400,
    body: { error: { code: 'invalid_encrypted_content', message: 'The encrypted content …' } },
  }
  const reasoning = { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'sealed' }
  const history = [reasoning]
  const { agent, finished, server } = await play(t, [refused, textAnswer()], { history })

  expect(finished.status).toBe('done')
  expect(server.requests[1]?.body.input.map(outline)).toEqual([
    { type: 'message', role: 'developer' },
    { type: 'message', role: 'user' },
  ])
  expect(eventsOf(agent, 'repair')).toMatchObject([{ drops: 'reasoning' }])

  const again = await play(t, [refused, refused], { history })
  expect(again.finished).toMatchObject({ status: 'failed', error: { code: 'model-refused' } })
})

const IMAGE = 'data:image/png;base64,AAAA'
const IMAGE_REFUSED = {
  status: 400,
  body: { error: { message: 'The image data you provided does not represent a valid image.' } },
}
const seen = [
  { type: 'function_call', call_id: 'call_0', name: 'view_image', arguments: '{}' },
  {
    type: 'function_call_output',
    call_id: 'call_0',
    output: [
      { type: 'input_text', text: 'a.png' },
      { type: 'input_image', image_url: IMAGE },
    ],
  },
]

test.for([
  ['with a status', IMAGE_REFUSED],
  ['with an event', failedAnswer('image_too_large', 'No.')],
  ['as too large a body', { status: 413, body: { error: { message: 'Too large.' } } }],
] as const)(
  'an image that the service refuses %s is left out, and that is said',
  async ([, refused], t) => {
    const { agent, finished, server } = await play(t, [refused, textAnswer()], { history: seen })

    expect(finished.status).toBe('done')
    expect(eventsOf(agent, 'repair')).toMatchObject([{ drops: 'images' }])
    const sent = server.requests.map(({ body }) => JSON.stringify(body))
    expect(sent.map((body) => body.includes(IMAGE))).toEqual([true, false])
    expect(sent[1]).toContain('left out: the service refused')

    const again = await play(t, [refused, refused], { history: seen })
    expect(again.finished.status).toBe('failed')
    expect(again.server.requests).toHaveLength(2)
  },
)

test('a prompt whose image the service refuses fails, and the next one is asked without it', async (t) => {
  const { agent, server } = await start(t, [IMAGE_REFUSED, textAnswer()], { images: [IMAGE] })
  const first = await agent.finished()
  const secrets = { CODEX_ACCESS_TOKEN: 'second-token' }
  agent.send({ type: 'prompt', runId: 'run-2', prompt: 'Go on.', secrets })
  const second = await agent.finished()

  expect(first).toMatchObject({ status: 'failed', error: { code: 'model-refused' } })
  expect(eventsOf(agent, 'repair')).toMatchObject([{ drops: 'images' }])
  expect(second.status).toBe('done')
  expect(JSON.stringify(server.requests[1]?.body)).not.toContain(IMAGE)
})

test('a calls output is handed to the host while the tool runs', async (t) => {
  const { agent } = await start(t, [
    callsAnswer(['bash', { command: 'echo early; sleep 0.5; echo late' }]),
    textAnswer(),
  ])

  const first = await agent.until('tool.output')
  expect(first).toMatchObject({ callId: 'call_1', text: 'early\n' })
  await agent.finished()
  const text = eventsOf(agent, 'tool.output').map((event) => event.text)
  expect(text.join('')).toBe('early\nlate\n')
})

test('an item that ends the answer is waited for by its call alone', async (t) => {
  const message = { type: 'message', id: 'msg_9', role: 'assistant', content: [] }
  const call = {
    type: 'function_call',
    id: 'fc_1',
    call_id: 'call_1',
    name: 'bash',
    arguments: '{"command":"true"}',
  }
  const { server } = await play(t, [itemsAnswer([call, message]), textAnswer()])

  // All items of an answer first, then the outputs.
  expect(addedItems(server, 1).map(({ type }) => type)).toEqual([
    'function_call',
    'message',
    'function_call_output',
  ])
})
