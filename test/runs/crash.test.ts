import { readFileSync, statSync, truncateSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { processStart } from '../../host/storage/process-start.ts'
import type { Item } from '../../shared/items.ts'
import type { RunEvent } from '../../shared/protocol.ts'
import { startHost } from '../engine/host-process.ts'
import { callsAnswer, textAnswer } from '../fakes/model-server.ts'
import { type Bench, KEY, openBench, SESSION } from './observed-conversation.ts'

let bench: Bench

beforeEach(async () => {
  bench = await openBench()
})

afterEach(() => bench.clear())

/** Starts a host with a run and kills it, without any warning, at the event that is named. */
async function killHostAt(
  isTheMoment: (event: RunEvent) => boolean | Promise<boolean>,
): Promise<void> {
  const { workspace, dataDir, server } = bench
  const host = startHost(
    {
      prompt: 'Wait a while.',
      workspace,
      session: SESSION,
      settings: { provider: 'openai', engine: 'process', dataDir },
    },
    {
      env: {
        // What a killed host leaves there goes with the test's own folder.
        TMPDIR: dirname(dataDir),
        OPENAI_API_KEY: KEY,
        OPENAI_BASE_URL: new URL('.', server.endpoint.url).href,
      },
    },
  )
  for await (const event of host.events) {
    if (await isTheMoment(event)) host.child.kill('SIGKILL')
  }
  expect(await host.ended()).toBe('SIGKILL')
}

const isItem = (event: RunEvent, type: string, role?: string) =>
  event.type === 'item' && event.item.type === type && event.item.role === role

const SLEEP = { command: 'echo $$ > pid; exec sleep 60' }
const LOST = '1 tool calls were cut off before their result was kept'

test.each<[string, (event: RunEvent) => boolean, string[], string[]]>([
  ['as the run starts', (event) => event.type === 'started', [], []],
  ['when the prompt is kept', (event) => isItem(event, 'message', 'user'), ['message'], []],
  [
    'when a call is kept',
    (event) => isItem(event, 'function_call'),
    ['message', 'function_call', 'function_call_output'],
    [LOST],
  ],
  [
    'while a tool runs',
    (event) => event.type === 'tool.started',
    ['message', 'function_call', 'function_call_output'],
    [LOST],
  ],
])(
  'a host that is killed %s leaves a session to go on with',
  async (_when, moment, kept, mended) => {
    bench.server.play(callsAnswer(['bash', SLEEP]))

    await killHostAt(moment)

    const prompts = await goOn()
    const [before, repairs] = [prompts.input.slice(0, -1), prompts.repairs]
    // What was kept between the event and the kill is a matter of luck, but never less, and never torn.
    expect(before.map(({ type }) => type).slice(0, kept.length)).toEqual(kept)
    if (mended.length > 0) expect(repairs).toEqual(mended)
  },
)

test('a host that is killed with a torn line on disk leaves a session to go on with', async () => {
  bench.server.play(callsAnswer(['bash', { command: 'echo hello' }]), textAnswer('Unread.'))
  await killHostAt((event) => isItem(event, 'function_call_output'))
  const file = join(bench.dataDir, 'sessions', `${SESSION}.jsonl`)
  truncateSync(file, statSync(file).size - 7)

  const { input, repairs } = await goOn()

  expect(repairs[0]).toMatch(/^the session log ended inside a line; its \d+ bytes were cut off$/)
  expect(input.map(({ type }) => type).slice(0, 2)).toEqual(['message', 'function_call'])
})

test('a host that is killed takes the agent and its tools along', async () => {
  bench.server.play(callsAnswer(['bash', SLEEP]))
  const pid = () => Number(readFileSync(join(bench.workspace, 'pid'), 'utf8'))
  const isThere = () => {
    try {
      // Where nobody collects orphans, as in some containers, they stay on as zombies.
      return process.kill(pid(), 0) && processStart(pid()) !== 'ended'
    } catch {
      return false
    }
  }
  await killHostAt(async (event) => {
    if (event.type === 'tool.started') await expect.poll(isThere, { timeout: 5_000 }).toBe(true)
    return event.type === 'tool.started'
  })

  await expect.poll(isThere, { timeout: 5_000 }).toBe(false)
})

/** Continues the session here. Returns what the model was sent, and what had to be mended. */
async function goOn(): Promise<{ input: Item[]; repairs: string[] }> {
  await bench.renewServer()
  bench.server.play(textAnswer('Here I am.'))
  const conversation = await bench.open()
  const run = conversation.run('Go on.')
  const repairs: string[] = []
  for await (const event of run) if (event.type === 'repair') repairs.push(event.message)

  expect(await run.result).toMatchObject({ status: 'done', text: 'Here I am.' })
  const input = bench.server.requests.at(-1)?.body.input.slice(1) ?? []
  expect(input.at(-1)?.content).toMatchObject([{ text: 'Go on.' }])
  return { input, repairs }
}
