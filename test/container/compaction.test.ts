import { expect, test } from 'vitest'
import type { Item } from '../../shared/items.ts'
import { outline } from '../conformance/outline.ts'
import { addedItems, eventsOf, play, start } from '../conformance/replay.ts'
import {
  callsAnswer,
  type Exchange,
  failedAnswer,
  itemsAnswer,
  textAnswer,
} from '../fakes/model-server.ts'

/** An answer after which the conversation counts as longer than `form` allows. */
const long = (answer: Exchange): Exchange => ({
  ...answer,
  body: String(answer.body).replaceAll('"input_tokens":100', '"input_tokens":9000'),
})
const form = { compactAtTokens: 5000 }
const sealed: Item = { type: 'compaction', id: 'cmp_1', encrypted_content: 'sealed' }
const trigger = [{ type: 'compaction_trigger' }]
const touch = callsAnswer(['bash', { command: 'echo once >> ran' }])

test('in the middle of a run the history becomes what the user said and one sealed item', async (t) => {
  const { agent, server, finished } = await play(
    t,
    [long(touch), itemsAnswer([sealed]), textAnswer()],
    { form },
  )

  expect(finished).toMatchObject({ status: 'done', turns: 2, toolCalls: 1 })
  const asked = server.requests.map(({ body }) => body.input.map(outline))
  expect(asked[1]?.slice(-3).map(({ type }) => type)).toEqual([
    'function_call',
    'function_call_output',
    'compaction_trigger',
  ])
  expect(server.requests[2]?.body.input.slice(1)).toEqual([
    expect.objectContaining({
      role: 'user',
      content: [{ type: 'input_text', text: 'Say hello.' }],
    }),
    sealed,
  ])
  // The rest of the requests is the same, so that what is cached stays cached.
  const { input: _1, ...first } = server.requests[0]?.body ?? { input: [] }
  const { input: _2, ...second } = server.requests[1]?.body ?? { input: [] }
  expect(second).toEqual(first)
  const [compacted] = eventsOf(agent, 'compacted')
  expect(compacted?.items).toEqual(server.requests[2]?.body.input.slice(1))
  expect(compacted?.tokensBefore).toBeGreaterThan(9000)
  expect(compacted?.tokensAfter).toBeLessThan(1000)
})

test('between two runs the new prompt comes behind the sealed item', async (t) => {
  const { agent, server } = await start(
    t,
    [long(textAnswer('First.')), itemsAnswer([sealed]), textAnswer('Second.')],
    { form },
  )
  await agent.finished()
  agent.send({
    type: 'prompt',
    runId: 'run-2',
    prompt: 'And now?',
    secrets: { CODEX_ACCESS_TOKEN: 'second-token' },
  })
  await agent.finished()

  expect(server.requests[1]?.body.input.slice(-1)).toEqual(trigger)
  expect(server.requests[2]?.body.input.slice(1).map(outline)).toEqual([
    { type: 'message', role: 'user' },
    { type: 'compaction', id: 'cmp_1' },
    { type: 'message', role: 'user' },
  ])
})

test('where the service does not know the sealed item the model writes a summary', async (t) => {
  const refused = { status: 400, body: { error: { message: 'Invalid value: compaction_trigger' } } }
  const { agent, server, finished } = await play(
    t,
    [long(touch), refused, textAnswer('We were touching files.'), textAnswer()],
    { form },
  )

  expect(finished.status).toBe('done')
  const last = server.requests[3]?.body.input ?? []
  expect(last).toHaveLength(3)
  expect(JSON.stringify(last.at(-1))).toContain('We were touching files.')
  // A summary is no answer: nobody is shown it.
  expect(JSON.stringify(eventsOf(agent, 'item'))).not.toContain('We were touching files.')
  expect(JSON.stringify(eventsOf(agent, 'text.delta'))).not.toContain('touching')
})

test('a service of the plain form is asked for a summary at once', async (t) => {
  const { server, finished } = await play(t, [long(touch), textAnswer('Sum.'), textAnswer()], {
    form: { ...form, compaction: 'summary' },
  })

  expect(finished.status).toBe('done')
  expect(server.requests[1]?.body.input.at(-1)).toMatchObject({ type: 'message', role: 'user' })
})

test('a conversation that the service finds too long is compacted once and asked again', async (t) => {
  const tooLong = failedAnswer('context_length_exceeded', 'Too long.')
  const { finished, server } = await play(t, [touch, tooLong, itemsAnswer([sealed]), textAnswer()])

  expect(finished).toMatchObject({ status: 'done', toolCalls: 1 })
  expect(addedItems(server, 3).map(({ type }) => type)).toEqual(['compaction'])

  const again = await play(t, [touch, tooLong, itemsAnswer([sealed]), tooLong])
  expect(again.finished).toMatchObject({ status: 'failed', error: { code: 'context-full' } })
})

test('one that is too long even to be compacted loses its older half, whole pairs of it', async (t) => {
  const tooLong = failedAnswer('context_length_exceeded', 'Too long.')
  const { agent, finished, server } = await play(t, [
    touch,
    tooLong,
    tooLong,
    itemsAnswer([sealed]),
    textAnswer(),
  ])

  expect(finished.status).toBe('done')
  expect(eventsOf(agent, 'repair').map(({ message }) => message)).toEqual([
    expect.stringContaining('older half'),
  ])
  const sent = server.requests[3]?.body.input ?? []
  const calls = sent.filter(({ type }) => type === 'function_call')
  const outputs = sent.filter(({ type }) => type === 'function_call_output')
  expect(calls.map(({ call_id }) => call_id)).toEqual(outputs.map(({ call_id }) => call_id))
})

test('a compaction that fails ends the run with the reason, and nothing is lost', async (t) => {
  const { agent, finished } = await play(
    t,
    [long(touch), failedAnswer('usage_not_included', 'No.')],
    { form },
  )

  expect(finished).toMatchObject({ status: 'failed', error: { code: 'plan-without-codex' } })
  expect(eventsOf(agent, 'compacted')).toEqual([])
  expect(eventsOf(agent, 'item').map(({ item }) => item.type)).toEqual([
    'message',
    'function_call',
    'function_call_output',
  ])
})
