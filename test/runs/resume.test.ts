import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readOutputSchema } from '../../host/runs/output-schema.ts'
import { callsAnswer, failedAnswer, textAnswer } from '../fakes/model-server.ts'
import { type Bench, openBench } from './observed-conversation.ts'

let bench: Bench

beforeEach(async () => {
  bench = await openBench()
})

afterEach(() => bench.clear())

test('a session that ended with a failure goes on where it ended, in another process', async () => {
  bench.server.play(
    callsAnswer(['bash', { command: 'mkdir once' }]),
    failedAnswer('insufficient_quota', 'No more.'),
    textAnswer('Now it is done.'),
  )
  const first = await bench.open()
  const failed = await first.run('Do it.').result
  expect(failed).toMatchObject({ status: 'failed', error: { code: 'usage-limit' } })
  await first.close()

  const second = await bench.open()
  const resumed = await second.resume().result

  expect(resumed).toMatchObject({ status: 'done', text: 'Now it is done.', toolCalls: 0 })
  expect(existsSync(join(bench.workspace, 'once'))).toBe(true)
  const input = bench.server.requests.at(-1)?.body.input ?? []
  expect(input.map(({ type, role }) => role ?? type)).toEqual([
    'developer',
    'user',
    'function_call',
    'function_call_output',
  ])
})

test('what the service counted is known again after a restart', async () => {
  bench.server.play(textAnswer(), textAnswer())
  const first = await bench.open()
  await first.run('One.').result
  await first.close()

  const second = await bench.open()
  await second.run('Two.').result

  const told = bench.starts.map(({ lines }) => JSON.parse(lines[0] ?? '').historyTokens)
  expect(told).toEqual([undefined, 120])
})

test('an empty session has nothing to go on with', async () => {
  const conversation = await bench.open()

  expect(() => conversation.resume()).toThrow(expect.objectContaining({ code: 'wrong-use' }))
})

test('a session whose last run is done has nothing to go on with, and no model is asked again', async () => {
  bench.server.play(textAnswer('The answer.'), textAnswer('The same again.'))
  const first = await bench.open()
  await first.run('Ask.').result
  await first.close()

  const second = await bench.open()

  expect(() => second.resume()).toThrow(/observed ended with its answer/)
  expect(bench.server.requests).toHaveLength(1)
})

test('a session that goes on in another folder says so to the person and to the model, once', async () => {
  bench.server.play(textAnswer('One.'), textAnswer('Two.'), textAnswer('Three.'))
  const elsewhere = join(bench.dataDir, '..', 'elsewhere')
  mkdirSync(elsewhere)
  const told: string[][] = []
  for (const workspace of [bench.workspace, elsewhere, elsewhere]) {
    const conversation = await bench.open({ workspace })
    const notices: string[] = []
    for await (const event of conversation.run('Go on.')) {
      if (event.type === 'notice') notices.push(event.message)
    }
    told.push(notices)
    await conversation.close()
  }

  expect(told).toEqual([[], [expect.stringContaining(`last worked in ${bench.workspace};`)], []])
  const roles = bench.server.requests.map(({ body }) => body.input.slice(1).map(({ role }) => role))
  const one = ['user', 'assistant']
  expect(roles).toEqual([
    ['user'],
    [...one, 'developer', 'user'],
    [...one, 'developer', ...one, 'user'],
  ])
})

test('images go with the prompt they are for, in the first run and in later ones', async () => {
  bench.server.play(textAnswer(), textAnswer())
  const conversation = await bench.open()
  const url = 'data:image/png;base64,AAAA'

  await conversation.run('Look.', { images: [url] }).result
  await conversation.run('And this.', { images: [url] }).result

  const images = JSON.stringify(bench.server.requests.at(-1)?.body.input).split(url)
  expect(images).toHaveLength(3)
})

test('an answer that does not follow the schema is a failure that names what is wrong', async () => {
  bench.server.play(textAnswer('{"answer":"many"}'), textAnswer('{"answer":42}'))
  const outputSchema = readOutputSchema({
    type: 'object',
    properties: { answer: { type: 'number' } },
    required: ['answer'],
    additionalProperties: false,
  })
  const conversation = await bench.open({ outputSchema })

  expect(await conversation.run('How many?').result).toMatchObject({
    status: 'failed',
    error: { code: 'output-invalid', message: expect.stringContaining('answer') },
  })
  expect(await conversation.run('A number!').result).toMatchObject({ status: 'done' })
  expect(bench.logged().at(-1)).toMatchObject({ type: 'finished', status: 'done' })
})
