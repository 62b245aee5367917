import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { NO_USAGE } from '../../shared/no-usage.ts'
import { startAgent } from '../fakes/agent-process.ts'
import {
  callsAnswer,
  completed,
  created,
  done,
  type Exchange,
  itemsAnswer,
  messageItem,
  type StreamEvent,
  sse,
  startModelServer,
  textAnswer,
  USAGE,
} from '../fakes/model-server.ts'
import { aRunRequest } from '../fakes/run-request.ts'
import { outline } from './outline.ts'
import {
  addedItems,
  eventsOf,
  furtherPrompt,
  outputsSent,
  play,
  shownText,
  start,
  usageOf,
} from './replay.ts'

const delta = (text: string) => ({ type: 'response.output_text.delta', delta: text })

describe.concurrent('the request', () => {
  test('has the form the service wants', async (t) => {
    const { server } = await play(t, [textAnswer()], { verbosity: 'low' })

    expect(server.requests).toMatchObject([{ method: 'POST', path: '/v1/responses' }])
    const { input, tools, ...rest } = server.requests[0]?.body ?? { input: [], tools: [] }
    expect(rest).toEqual({
      model: 'gpt-5.5',
      stream: true,
      store: false,
      tool_choice: 'auto',
      parallel_tool_calls: true,
      reasoning: { effort: 'medium' },
      include: ['reasoning.encrypted_content'],
      prompt_cache_key: 'conversation-1',
      text: { verbosity: 'low' },
    })
    expect(input).toMatchObject([
      { type: 'message', role: 'developer', content: [{ text: 'You are part of a test.' }] },
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Say hello.' }] },
    ])
    expect(tools).toMatchObject(
      [
        ...['bash', 'write_stdin', 'apply_patch', 'read_file', 'write_file', 'list_files'],
        ...['search_files', 'view_image'],
      ].map((name) =>
        name === 'apply_patch'
          ? { type: 'custom', name, format: { type: 'grammar', syntax: 'lark' } }
          : {
              type: 'function',
              name,
              strict: false,
              parameters: { type: 'object', additionalProperties: false },
            },
      ),
    )
  })

  test('has these headers and no others', async (t) => {
    const { server } = await play(t, [textAnswer()])

    const headers = Object.fromEntries(server.requests[0]?.headers ?? [])
    expect(headers).toEqual({
      originator: 'codexbox',
      'user-agent': 'codexbox/0.0.0 (test)',
      'session-id': 'conversation-1',
      'thread-id': 'conversation-1',
      accept: 'text/event-stream',
      'content-type': 'application/json',
      'content-length': expect.stringMatching(/^\d+$/),
      authorization: 'Bearer first-token',
      'chatgpt-account-id': 'account-1',
      // Of HTTP itself.
      Host: expect.any(String),
      Connection: 'keep-alive',
    })
  })

  test('names no account where there is none', async (t) => {
    const secrets = { CODEX_ACCESS_TOKEN: 'first-token' }
    const { server } = await play(t, [textAnswer()], { secrets })

    expect(server.requests[0]?.header('chatgpt-account-id')).toBeUndefined()
  })

  test('carries the earlier conversation before the prompt, item for item', async (t) => {
    const history = [
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Earlier.' }] },
      { type: 'reasoning', id: 'rs_0', summary: [], content: null, encrypted_content: 'gAAAA-0' },
      { ...messageItem('Yes?'), future_field: { kept: [true, null, 1e21] } },
    ]
    const { server } = await play(t, [textAnswer()], { history })

    const input = server.requests[0]?.body.input ?? []
    expect(input.slice(1, -1)).toEqual(history)
    expect(input.at(-1)).toMatchObject({ role: 'user', content: [{ text: 'Say hello.' }] })
  })

  test('goes through the unix socket when there is one', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'codexbox-socket-'))
    const server = await startModelServer([textAnswer()], { socketPath: join(folder, 's') })
    t.onTestFinished(async () => {
      await server.close()
      rmSync(folder, { recursive: true, force: true })
    })
    const { finished } = await play(t, [], { endpoint: server.endpoint })

    expect(finished.status).toBe('done')
    expect(server.requests).toHaveLength(1)
  })
})

describe.concurrent('the stream', () => {
  test('is read past everything that means nothing to us', async (t) => {
    const item = messageItem('Done.')
    const [first, second] = sse([done(item)]).split('"item"')
    const body = [
      '\uFEFF: a comment\nretry: 5000\nid: 7\n\n',
      sse([created, { type: 'response.brand_new', delta: 'no text' }]),
      'data: {"torn":\n\ndata: "a string"\n\ndata: null\n\ndata: []\n\ndata: {"no": "type"}\n\n',
      'data: [DONE]\n\n',
      'event: response.completed\ndata: {"type":"response.in_progress"}\n\n',
      sse([{ type: 'response.done', response: { id: 'resp_1' } }]),
      `data:${JSON.stringify(delta('Done.'))}\n\n`,
      // One event on two data lines.
      `${first?.replace('event: response.output_item.done\n', '')}\ndata: "item"${second}`,
      sse([completed]),
      'whatever follows',
    ].join('')
    const { agent, finished, server } = await play(t, [{ body }])

    expect(finished.status).toBe('done')
    expect(server.requests).toHaveLength(1)
    expect(eventsOf(agent, 'retry')).toEqual([])
    expect(shownText(agent)).toBe('Done.')
    expect(eventsOf(agent, 'item').map((event) => event.item)).toContainEqual(item)
  })

  const limit = { type: 'usage_limit_reached', plan_type: 'plus', resets_at: 1_795_209_178 }
  test.for<[string, StreamEvent]>([
    ['in `error`', { type: 'error', error: limit }],
    ['with a status', { type: 'error', status: 429, error: limit }],
    ['at the top', { ...limit, type: 'error', code: 'usage_limit_reached' }],
  ])('ends with a usage limit that comes as an event (%s)', async ([, event], t) => {
    const { agent, finished, server } = await play(t, [
      { body: sse([created, event]), fault: 'stall' },
    ])

    expect(finished).toMatchObject({
      status: 'failed',
      error: { code: 'usage-limit', resetsAt: 1_795_209_178_000 },
    })
    expect(finished.error?.message).toMatch(/^The usage limit of the plus plan is reached\. /)
    expect(server.requests).toHaveLength(1)
    expect(eventsOf(agent, 'retry')).toEqual([])
  })

  test.for<[string, StreamEvent, RegExp]>([
    [
      'in `error`',
      { type: 'error', error: { code: 'server_error', message: 'Fuse.' } },
      /^The service failed while answering: Fuse\./,
    ],
    [
      'at the top',
      { type: 'error', code: 'server_error', message: 'Fuse.', param: null, sequence_number: 2 },
      /^The service failed while answering: Fuse\./,
    ],
    [
      'with a status',
      { type: 'error', status: 503, error: { message: 'Fuse.' }, headers: { 'CF-Ray': '8f00' } },
      /^The service failed \(503\): Fuse\..*cf-ray 8f00/,
    ],
  ])('asks again after an error event that may pass (%s)', async ([, event, words], t) => {
    const { agent, finished } = await play(t, [{ body: sse([created, event]) }, textAnswer()])

    expect(finished.status).toBe('done')
    expect(eventsOf(agent, 'retry')).toMatchObject([
      { reason: { code: 'model-failed', message: expect.stringMatching(words) } },
    ])
  })

  test('is compacted when an error event says that it is too long', async (t) => {
    const error = { code: 'context_length_exceeded', message: 'Too long.' }
    const sealed = { type: 'compaction', id: 'cmp_1', encrypted_content: 'gAAAA' }
    const { agent, finished } = await play(t, [
      { body: sse([created, { type: 'error', error }]) },
      itemsAnswer([sealed]),
      textAnswer(),
    ])

    expect(finished.status).toBe('done')
    expect(eventsOf(agent, 'compacted')).toHaveLength(1)
  })

  test.for(['gzip', 'deflate', 'br', 'gzip, br'])(
    'is read in the coding that something on the way gave it (%s)',
    async (encoding, t) => {
      const calls = callsAnswer(['bash', { command: 'echo hi' }])
      const script = [calls, textAnswer()].map((exchange) => ({ ...exchange, encoding }))
      const { agent, finished } = await play(t, script)

      expect(finished).toMatchObject({ status: 'done', turns: 2, usage: usageOf(2) })
      expect(shownText(agent)).toBe('')
      expect(eventsOf(agent, 'item').at(-1)?.item).toEqual(messageItem('Done.'))
    },
  )

  test('is given up at once in a coding that is not known, which is named', async (t) => {
    const { finished, server } = await play(t, [{ ...textAnswer(), encoding: 'snappy' }])

    expect(finished.error).toMatchObject({
      code: 'model-unreachable',
      message: expect.stringMatching(/encoded as "snappy".*A proxy on the way/),
    })
    expect(server.requests).toHaveLength(1)
  })

  test('may be a response that comes at once, as JSON', async (t) => {
    const output = [messageItem('Hi.')]
    const body = { object: 'response', status: 'completed', output, usage: USAGE }
    const { agent, finished } = await play(t, [{ body }])

    expect(finished).toMatchObject({ status: 'done', usage: usageOf(1) })
    expect(shownText(agent)).toBe('Hi.')
  })

  test('is no stream where JSON comes that is no response: that is said at once', async (t) => {
    const { finished, server } = await play(t, [{ body: { hello: 'world' } }])

    expect(finished.error).toMatchObject({
      code: 'model-unreachable',
      message: expect.stringContaining(
        'What answers is no model service: what came in the place of',
      ),
    })
    expect(server.requests).toHaveLength(1)
  })

  test('is a usage limit where JSON with status 200 says so', async (t) => {
    const { finished, server } = await play(t, [{ body: { error: limit } }])

    expect(finished.error?.code).toBe('usage-limit')
    expect(server.requests).toHaveLength(1)
  })

  test('gives items by output_item.done alone, not by deltas, added or completed', async (t) => {
    const kept = messageItem('Kept.')
    const torn = { type: 'function_call', call_id: 'call_0', name: 'bash', arguments: '{"comm' }
    const body = sse([
      created,
      { type: 'response.output_item.added', item: torn },
      delta('Only shown.'),
      done(kept),
      {
        type: 'response.completed',
        response: { id: 'resp_1', end_turn: false, output: [messageItem('Ignored.'), torn] },
      },
    ])
    const { server } = await play(t, [{ body }, textAnswer()])

    expect(addedItems(server, 1)).toEqual([kept])
  })

  test('counts usage that is missing as zero', async (t) => {
    const body = sse([created, done(messageItem('Done.')), completed])
    const { finished } = await play(t, [{ body }])

    expect(finished).toMatchObject({ status: 'done', usage: NO_USAGE })
  })

  test('a last event without its blank line does not count', async (t) => {
    const body = sse([created, completed]).slice(0, -1)
    const { agent, finished } = await play(t, [{ body }, textAnswer()])

    expect(eventsOf(agent, 'retry')).toMatchObject([{ reason: { code: 'stream-cut' } }])
    expect(finished.status).toBe('done')
  })

  test('an item that was cut inside is not kept, the one before it is', async (t) => {
    const kept = messageItem('Kept.')
    const whole = sse([created, done(kept)])
    const body = whole + sse([done(messageItem('Cut.'))])
    const cut: Exchange = { body, fault: 'cut', bytes: Buffer.byteLength(whole) + 40 }
    const { server } = await play(t, [cut, textAnswer()])

    expect(addedItems(server, 1)).toEqual([kept])
  })

  test('what comes after completed is not waited for', async (t) => {
    const { finished, server } = await play(t, [{ ...textAnswer(), fault: 'stall' }])

    expect(finished.status).toBe('done')
    expect(finished.durationMs).toBeLessThan(2000)
    expect(server.requests).toHaveLength(1)
  })

  test('nor does it hold up the next request for more than a second', async (t) => {
    const call = callsAnswer(['bash', { command: 'true' }])
    const { agent, server } = await start(t, [{ ...call, fault: 'stall' }, textAnswer()])
    await agent.until('tool.finished')
    const answeredAt = performance.now()
    await agent.finished()

    expect((server.requests[1]?.at ?? 0) - answeredAt).toBeLessThan(1500)
  })

  test('silence counts as a cut, a reset as well', async (t) => {
    const half = sse([created, delta('par')])
    const script: Exchange[] = [
      { body: half, fault: 'stall' },
      { body: half, fault: 'reset' },
      textAnswer(),
    ]
    const { agent, finished } = await play(t, script, { limits: { streamIdleMs: 300 } })

    expect(eventsOf(agent, 'retry')).toMatchObject([
      { reason: { code: 'stream-cut' } },
      { reason: { code: 'stream-cut' } },
    ])
    expect(finished.status).toBe('done')
  })

  // JSON leaves U+2028 as it is, and some line readers take it for the end of a line.
  test('text may hold any character, line separators included', async (t) => {
    const text = 'a\u2028b\u2029c\u0085d\ufeff😀\\n\u0000'
    const script = [{ body: sse([delta(text), done(messageItem(text)), completed]) }, textAnswer()]
    const { agent, server } = await start(t, script, { prompt: text })
    await agent.finished()
    agent.send(furtherPrompt('run-2', text))
    await agent.finished()

    expect(shownText(agent)).toBe(text)
    const user = { content: [{ text }] }
    expect(server.requests[1]?.body.input.slice(1)).toMatchObject([user, user, user])
  })
})

describe.concurrent('items', () => {
  test('a message that is nothing but a refusal is not sent back', async (t) => {
    const refusal = { ...messageItem(''), content: [{ type: 'refusal', refusal: 'No.' }] }
    const { server } = await play(t, [itemsAnswer([refusal], { end_turn: false }), textAnswer()])

    expect(addedItems(server, 1)).toEqual([])
  })

  test('an item of a type nobody knows is left out, and that is said', async (t) => {
    const item = { type: 'brand_new', id: 'bn_1', payload: { a: [1, null] } }
    const script = [itemsAnswer([item], { end_turn: false }), textAnswer()]
    const { agent, server } = await play(t, script)

    expect(addedItems(server, 1)).toEqual([])
    const message = expect.stringContaining('brand_new')
    expect(eventsOf(agent, 'repair')).toMatchObject([{ message }])
  })

  test('calls without id are answered by their call_id, wrong arguments with an error', async (t) => {
    const call = (call_id: string, args: string) => ({
      type: 'function_call',
      call_id,
      name: 'bash',
      arguments: args,
    })
    const calls = [call('a', 'null'), call('b', '[]'), call('c', '{}'), call('d', '')]
    const { finished, server } = await play(t, [itemsAnswer(calls), textAnswer()])

    const id = expect.stringMatching(/^fc_/)
    expect(addedItems(server, 1).slice(0, 4)).toEqual(calls.map((each) => ({ ...each, id })))
    const outputs = outputsSent(server, 1)
    expect(Object.keys(outputs)).toEqual(['a', 'b', 'c', 'd'])
    for (const output of Object.values(outputs)) expect(output).toMatch(/^error: /)
    expect(finished.status).toBe('done')
  })
})

describe.concurrent('the turn state', () => {
  test('is the first of a run and ends with it', async (t) => {
    const withState = (state: string, answer: Exchange): Exchange => ({
      ...answer,
      headers: { 'x-codex-turn-state': state },
    })
    const { agent, server } = await start(t, [
      withState('state-1', callsAnswer(['bash', { command: 'true' }])),
      withState('state-2', callsAnswer(['bash', { command: 'true' }])),
      withState('state-3', textAnswer()),
      textAnswer(),
    ])
    await agent.finished()
    agent.send(furtherPrompt('run-2', 'Again.'))
    await agent.finished()

    const sent = server.requests.map((request) => request.header('x-codex-turn-state'))
    expect(sent).toEqual([undefined, 'state-1', 'state-1', undefined])
  })
})

describe.concurrent('the runs of a conversation', () => {
  test('go on from one another in one process', async (t) => {
    const answer = messageItem('First.')
    const { agent, server } = await start(t, [
      callsAnswer(['bash', { command: 'echo one' }]),
      itemsAnswer([answer]),
      textAnswer('Second.'),
    ])
    expect(await agent.finished()).toMatchObject({ runId: 'run-1', status: 'done', turns: 2 })
    agent.send(furtherPrompt('run-2', 'And now?'))
    const second = await agent.finished()

    expect(second).toMatchObject({ runId: 'run-2', status: 'done', turns: 1, toolCalls: 0 })
    expect(addedItems(server, 2).map(outline)).toEqual([
      { type: 'function_call', id: 'fc_1', call_id: 'call_1' },
      { type: 'function_call_output', id: 'fco_', call_id: 'call_1' },
      outline(answer),
      { type: 'message', role: 'user' },
    ])
    const [before, after] = [server.requests[1]?.body.input, server.requests[2]?.body.input]
    expect(after?.slice(0, before?.length)).toEqual(before)
    expect(server.requests[2]?.header('authorization')).toBe('Bearer second-token')
    expect(server.requests[2]?.body.prompt_cache_key).toBe('conversation-1')
  })

  test('can go on after an interruption in the middle of a tool call', async (t) => {
    const { agent, server } = await start(t, [
      callsAnswer(['bash', { command: 'echo begun; sleep 60' }], ['no_such_tool', {}]),
      textAnswer(),
    ])
    await agent.until('tool.started')
    agent.send({ type: 'interrupt' })
    expect(await agent.finished()).toMatchObject({ status: 'interrupted' })
    agent.send(furtherPrompt('run-2', 'Go on.'))

    expect(await agent.finished()).toMatchObject({ status: 'done' })
    expect(Object.keys(outputsSent(server, 1))).toEqual(['call_1', 'call_2'])
  })

  test('can go on after an interruption in the middle of an answer', async (t) => {
    const said = messageItem('Kept.')
    const call = { type: 'function_call', id: 'fc_a', call_id: 'a', name: 'bash', arguments: '{}' }
    const half = sse([created, done(said), done(call), delta('Half')])
    const { agent, server } = await start(t, [{ body: half, fault: 'stall' }, textAnswer()])
    await agent.until('text.delta')
    agent.send({ type: 'interrupt' })
    expect(await agent.finished()).toMatchObject({ status: 'interrupted' })
    agent.send(furtherPrompt('run-2', 'Go on.'))

    expect(await agent.finished()).toMatchObject({ status: 'done' })
    expect(addedItems(server, 1).slice(0, 2)).toEqual([said, call])
    expect(Object.keys(outputsSent(server, 1))).toEqual(['a'])
  })

  test('can go on after the turn limit, with every call answered', async (t) => {
    const limits = { maxTurns: 1 }
    const script = [callsAnswer(['bash', { command: 'echo one' }]), textAnswer()]
    const { agent, server } = await start(t, script, { limits })
    expect(await agent.finished()).toMatchObject({ status: 'turn-limit', turns: 1, toolCalls: 1 })
    agent.send(furtherPrompt('run-2', 'Go on.'))

    expect(await agent.finished()).toMatchObject({ status: 'done' })
    expect(outputsSent(server, 1)).toEqual({ call_1: expect.stringContaining('one') })
  })

  test('a message during a run reaches the model after the outputs', async (t) => {
    const script = [callsAnswer(['bash', { command: 'sleep 0.3' }]), textAnswer()]
    const { agent, server } = await start(t, script)
    await agent.until('tool.started')
    agent.send({ type: 'message', text: 'By the way.' })
    await agent.finished()

    expect(addedItems(server, 1).map(outline).slice(1)).toEqual([
      { type: 'function_call_output', id: 'fco_', call_id: 'call_1' },
      { type: 'message', role: 'user' },
    ])
    expect(addedItems(server, 1).at(-1)).toMatchObject({ content: [{ text: 'By the way.' }] })
  })
})

describe.concurrent('the end of the process', () => {
  test('close after a run ends it with 0', async (t) => {
    const { agent } = await play(t, [textAnswer()])
    agent.send({ type: 'close' })

    expect(await agent.exit).toEqual({ code: 0, signal: null })
  })

  test('close during a run lets the run finish', async (t) => {
    const { agent } = await start(t, [
      callsAnswer(['bash', { command: 'sleep 0.3' }]),
      textAnswer(),
    ])
    await agent.until('tool.started')
    agent.send({ type: 'close' })

    expect(await agent.finished()).toMatchObject({ status: 'done' })
    expect(await agent.exit).toEqual({ code: 0, signal: null })
  })

  test('the end of stdin ends it with 0, between runs and in the middle of one', async (t) => {
    const { agent: idle } = await play(t, [textAnswer()])
    idle.endInput()
    expect(await idle.exit).toEqual({ code: 0, signal: null })

    const { agent: busy } = await start(t, [callsAnswer(['bash', { command: 'sleep 60' }])])
    await busy.until('tool.started')
    busy.endInput()
    expect(await busy.exit).toEqual({ code: 0, signal: null })
  })

  test('nobody asking for long enough ends it with 0', async (t) => {
    const { agent } = await play(t, [textAnswer()], { limits: { idleMs: 100 } })

    expect(await agent.exit).toEqual({ code: 0, signal: null })
  })

  test('a request that makes no sense is refused without quoting it', async (t) => {
    const agent = startAgent(aRunRequest({ endpoint: { url: 'ftp://first-token@localhost' } }))
    t.onTestFinished(() => agent.stop())
    const { status, error } = await agent.finished()

    expect({ status, code: error?.code }).toEqual({ status: 'failed', code: 'request-invalid' })
    expect(JSON.stringify(agent.seen) + agent.stderr).not.toContain('first-token')
    expect((await agent.exit).code).not.toBe(0)
  })
})
