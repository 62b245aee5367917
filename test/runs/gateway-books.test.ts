import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Run } from '../../host/runs/run.ts'
import { NO_USAGE } from '../../shared/no-usage.ts'
import type { RunEvent } from '../../shared/protocol.ts'
import { callsAnswer, textAnswer } from '../fakes/model-server.ts'
import { type Bench, KEY, openBench } from './observed-conversation.ts'

let bench: Bench

beforeEach(async () => {
  bench = await openBench()
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await bench.clear()
})

const linesOf = (file: string) =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))

test('every request of every run is a line in the book of the data folder', async () => {
  bench.server.play(callsAnswer(['bash', { command: 'true' }]), textAnswer(), textAnswer())
  const conversation = await bench.open()

  const first = await conversation.run('First.').result
  const second = await conversation.run('Second.').result

  expect([first.status, second.status]).toEqual(['done', 'done'])
  const lines = linesOf(join(bench.dataDir, 'requests.jsonl'))
  expect(lines.map(({ run, status }) => ({ run, status }))).toEqual([
    { run: first.runId, status: 200 },
    { run: first.runId, status: 200 },
    { run: second.runId, status: 200 },
  ])
})

test.each([
  ['that it had an answer of the model', 1, 'protocol-violation'],
  ['nothing of the kind', 0, undefined],
])('of an agent that never asked, and says %s', async (_, turns, code) => {
  const agentFile = bench.agentFile(`
    require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
      const { runId, version, type } = JSON.parse(line)
      if (type === 'close') process.exit()
      const usage = ${JSON.stringify(NO_USAGE)}
      const end = { type: 'finished', status: 'done', usage, toolCalls: 0, durationMs: 0 }
      console.log(JSON.stringify({ v: version, seq: 1, runId, ...end, turns: ${turns} }))
    })
  `)
  const conversation = await bench.open({ agentFile })

  const { status, error } = await conversation.run('Do it.').result

  expect({ status, code: error?.code }).toEqual({ status: code ? 'failed' : 'done', code })
})

test('CODEXBOX_DEBUG names a file that tells what went out, with the key masked', async () => {
  const file = join(bench.dataDir, 'debug.jsonl')
  vi.stubEnv('CODEXBOX_DEBUG', file)
  bench.server.play(textAnswer())
  const conversation = await bench.open()

  await conversation.run(`My key is ${KEY}.`).result

  expect(conversation.takeNotices()).toEqual([])
  const lines = linesOf(file)
  expect(lines.map(({ type }) => type)).toEqual(['request', 'headers', 'first-bytes', 'end'])
  expect(lines[0].body).toContain('My key is <masked>.')
  expect(readFileSync(file, 'utf8')).not.toContain(KEY)
})

test('a file that cannot be written to is a notice of the first run, which goes on', async () => {
  vi.stubEnv('CODEXBOX_DEBUG', join(bench.dataDir, 'missing', 'debug.jsonl'))
  bench.server.play(textAnswer(), textAnswer())
  const conversation = await bench.open()

  const first = await seen(conversation.run('Do it.'))
  const second = await seen(conversation.run('Once more.'))

  expect(first[0]).toMatchObject({
    type: 'notice',
    message: expect.stringContaining('CODEXBOX_DEBUG'),
  })
  expect(first.at(-1)).toMatchObject({ status: 'done' })
  expect(second.filter(({ type }) => type === 'notice')).toEqual([])
})

test('a notice that was taken before the first run is not said by it', async () => {
  vi.stubEnv('CODEXBOX_DEBUG', join(bench.dataDir, 'missing', 'debug.jsonl'))
  bench.server.play(textAnswer())
  const conversation = await bench.open()

  const taken = conversation.takeNotices()
  const events = await seen(conversation.run('Do it.'))

  expect(taken).toEqual([expect.stringContaining('CODEXBOX_DEBUG')])
  expect(events.filter(({ type }) => type === 'notice')).toEqual([])
})

async function seen(run: Run): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  for await (const event of run) events.push(event)
  return events
}
