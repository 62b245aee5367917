import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { eventStream, NOT_A_RESPONSE } from '../../shared/event-stream.ts'
import { completed, created, done, messageItem, sse } from '../fakes/model-server.ts'

const JSON_TYPE = 'application/json'

/** What a reader gets of `pieces`. */
async function read(type: string | undefined, ...pieces: string[]): Promise<string> {
  const body = Readable.from(pieces.map((piece) => Buffer.from(piece)))
  return String(await buffer(eventStream(type, body)))
}

async function eventsOf(answer: unknown): Promise<Record<string, unknown>[]> {
  const text = await read(JSON_TYPE, JSON.stringify(answer, null, 2))
  return text
    .split('\n\n')
    .slice(0, -1)
    .map((frame) => JSON.parse(frame.replace(/^data: /, '')))
}

const stream = sse([created, done(messageItem('Hi.')), completed])

test.each([
  'text/event-stream',
  'Text/Event-Stream; charset=utf-8',
  JSON_TYPE,
  'text/plain',
  undefined,
])('a stream of events is passed on to the byte, whatever it is called (%s)', async (type) => {
  expect(await read(type, stream)).toBe(stream)
  expect(await read(type, ...stream)).toBe(stream)
  expect(await read(type, '\n\n', '\uFEFF', `: {\n\n${stream}`)).toBe(`\n\n\uFEFF: {\n\n${stream}`)
})

test('a page is passed on as it is, and so is nothing', async () => {
  expect(await read('text/html', '<html>{}</html>')).toBe('<html>{}</html>')
  expect(await read(JSON_TYPE, '')).toBe('')
  expect(await read(JSON_TYPE, '  ', '\n')).toBe('  \n')
})

test('a response that came at once becomes its items, its text and its figures', async () => {
  const message = messageItem('Hi.')
  const call = { type: 'function_call', id: 'fc_1', call_id: 'c', name: 'bash', arguments: '{}' }
  const usage = { input_tokens: 3, output_tokens: 4 }
  const response = { id: 'resp_1', object: 'response', status: 'completed', usage }

  expect(await eventsOf({ ...response, output: [message, call] })).toEqual([
    { type: 'response.output_text.delta', delta: 'Hi.' },
    { type: 'response.output_item.done', item: message },
    { type: 'response.output_item.done', item: call },
    { type: 'response.completed', response: { ...response, output: [] } },
  ])
})

test('a response that failed or is not complete ends as its stream would have', async () => {
  const error = { code: 'server_error', message: 'Fuse.' }
  const incomplete_details = { reason: 'max_output_tokens' }

  expect(await eventsOf({ status: 'failed', error, output: [] })).toMatchObject([
    { type: 'response.failed', response: { error } },
  ])
  expect(await eventsOf({ status: 'incomplete', incomplete_details, output: [] })).toMatchObject([
    { type: 'response.incomplete', response: { incomplete_details } },
  ])
})

test.each<[string, unknown, unknown]>([
  ['error', { error: { code: 'x', message: 'm' } }, { type: 'error', error: { code: 'x' } }],
  ['detail', { detail: 'No.' }, { type: 'error', message: 'No.' }],
  ['event', { type: 'error', status: 429, error: {} }, { type: 'error', status: 429 }],
  ['anything else', { hello: 1 }, { type: 'error', error: { code: NOT_A_RESPONSE } }],
])('an answer that is JSON with %s is an error event', async (_, answer, event) => {
  expect(await eventsOf(answer)).toMatchObject([event])
})

test('JSON may come in pieces, behind blank lines; torn JSON is no event at all', async () => {
  const json = JSON.stringify({ detail: 'Nö.' })

  expect(await read(JSON_TYPE, '\n', ...json)).toBe('data: {"type":"error","message":"Nö."}\n\n')
  expect(await read(JSON_TYPE, json.slice(0, -3))).toBe('')
})

test('what goes wrong below is told, and a reader that leaves closes it', async () => {
  const broken = new Readable({ read() {} })
  const reading = buffer(eventStream(JSON_TYPE, broken))
  broken.push('{')
  broken.destroy(new Error('cut'))
  await expect(reading).rejects.toThrow('cut')

  const endless = new Readable({ read() {} })
  const passed = eventStream(undefined, endless)
  endless.push(stream)
  await new Promise((resolve) => passed.once('data', resolve))
  passed.destroy()
  await new Promise((resolve) => endless.once('close', resolve))
})
