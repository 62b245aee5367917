import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, expect, test } from 'vitest'
import { NO_USAGE } from '../../shared/no-usage.ts'
import { aWorkspace, cleanUp, later } from '../engine/engine-contract.ts'
import { containerScript } from '../fakes/container-script.ts'
import { isFull } from '../full-size.ts'
import { hasLargerHeap } from '../larger-heap.ts'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'
import { scriptPackage } from '../script-package.ts'

const hostScript = await scriptPackage('test/hostile/host-of-agent-script.ts')
const LINES = isFull ? 1_000_000 : 100_000
/** Without any flood Node 20 has 80, Node 26 97. */
const MOST_MB = hasLargerHeap ? 160 : 128
const TIMEOUT_MS = 120_000

const tooMany = {
  code: 'protocol-violation',
  message: 'The container wrote more than 15000 events in one run; it was stopped.',
}
const left = { code: 'container-lost', message: expect.stringContaining('exit code 0') }
const noEvent = {
  code: 'protocol-violation',
  message: expect.stringContaining('no event of ours (after event 1: '),
}

/** What an agent writes `LINES` of, as an expression of its script, and how its run ends. */
const floods: [what: string, line: string, isRead: boolean, error: object][] = [
  ['text that is read', `{ ...head, type: 'text.delta', text: 'hello' }`, true, left],
  ['text that nobody reads', `{ ...head, type: 'text.delta', text: 'hello' }`, false, left],
  ['output of a tool', `{ ...head, type: 'tool.output', callId: 'a', text: BIG }`, false, left],
  ['notices', `{ ...head, type: 'notice', message: 'hello' }`, true, tooMany],
  ['notices that nobody reads', `{ ...head, type: 'notice', message: 'hello' }`, false, tooMany],
  ['calls to be kept', `{ ...head, type: 'item', item: A_CALL }`, true, tooMany],
  ['requests for secrets', `{ ...head, type: 'secrets.needed' }`, true, tooMany],
  [
    'lines that are no events',
    `seq === 1 ? STARTED : { ...head, type: 'surprise' }`,
    true,
    noEvent,
  ],
  ['lines that are no JSON', `seq === 1 ? STARTED : 'x'.repeat(200)`, true, noEvent],
]

describeWithEngine('an agent that is not ours any more', ({ docker, image }) => {
  afterEach(cleanUp)
  afterAll(async () => {
    for (const pid of hosts) await withoutLeftovers(docker, { label: [`codexbox.pid=${pid}`] })
  })

  test.each(floods)(
    'floods the host with %s: the run ends typed, and the host stays small',
    async (what, line, isRead, error) => {
      const startedAt = performance.now()
      const end = await runOf(flooding(line), { image, isRead })
      const tookMs = Math.round(performance.now() - startedAt)
      console.log(
        `${LINES} lines of ${what}: ${end.error?.code}, host ${end.peakMB} MB, ${tookMs} ms`,
      )

      expect(end).toMatchObject({ status: 'failed', error })
      expect(end.peakMB).toBeLessThanOrEqual(MOST_MB)
    },
    TIMEOUT_MS,
  )

  test(
    'floods the host with few and large events: the run ends typed, and what is kept of them is bounded',
    async () => {
      const line = `{ ...head, type: 'item', item: { type: 'message', text: HUGE } }`

      const end = await runOf(flooding(line), { image, isRead: true })
      console.log(`large events: host ${end.peakMB} MB`)

      expect(end).toMatchObject({
        status: 'failed',
        error: {
          code: 'protocol-violation',
          message: 'The container wrote events of more than 256 MB in one run; it was stopped.',
        },
      })
      expect(end.peakMB).toBeLessThan(1000)
    },
    TIMEOUT_MS,
  )

  test(
    'floods the host when its run has ended: it is stopped all the same, and the host stays small',
    async () => {
      const end = await runOf(
        flooding(
          `seq === 1 ? { ...head, type: 'finished', ...END } : { ...head, type: 'notice', message: BIG }`,
        ),
        { image, isRead: true },
      )

      expect(end).toMatchObject({ status: 'done', events: 1 })
      // It is asked to leave, and given 5 s for it.
      expect(end.closedMs).toBeLessThan(10_000)
      expect(end.peakMB).toBeLessThanOrEqual(MOST_MB)
    },
    TIMEOUT_MS,
  )
})

/** Their process ids. */
const hosts: number[] = []

interface End {
  status: string
  error?: { code: string; message: string }
  /** How many events a reader got. */
  events: number
  /** The most memory that the host has had. */
  peakMB: number
  closedMs: number
}

/** A run with a script in the place of the agent's, in a container and a host of its own. */
async function runOf(source: string, given: { image: string; isRead: boolean }): Promise<End> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-agent-')))
  later(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'agent'))
  const agentFile = join(folder, 'agent', 'agent.cjs')
  writeFileSync(agentFile, containerScript(source))
  const options = { ...given, agentFile, workspace: aWorkspace(), dataDir: join(folder, 'data') }
  const host = promisify(execFile)(process.execPath, [
    hostScript,
    JSON.stringify({ ...options, runMs: 60_000 }),
  ])
  hosts.push(Number(host.child.pid))
  const { stdout } = await host
  return JSON.parse(stdout)
}

/** An agent that writes as fast as it is read, and then leaves, and heeds nothing but its first line. */
const flooding = (line: string) => `
const BIG = 'x'.repeat(2000)
const HUGE = 'x'.repeat(20_000_000)
const A_CALL = { type: 'function_call', call_id: 'a', name: 'bash', arguments: '{}' }
const usage = ${JSON.stringify(NO_USAGE)}
const END = { status: 'done', usage, turns: 0, toolCalls: 0, durationMs: 1 }
process.on('SIGTERM', () => {})
// As ours does, so that the host takes the mounted socket for the way.
require('node:net').connect('/run/codexbox/gateway.sock').on('error', () => {})
const drained = () => new Promise((resolve) => process.stdout.once('drain', resolve))

require('node:readline').createInterface({ input: process.stdin }).once('line', async (first) => {
  process.stdin.pause()
  const { runId } = JSON.parse(first)
  const STARTED = { v: 1, runId, seq: 1, type: 'started', model: 'none', toolsIsolated: true }
  let text = ''
  for (let seq = 1; seq <= ${LINES}; seq++) {
    const head = { v: 1, runId, seq }
    text += JSON.stringify(${line}) + '\\n'
    if (text.length < 60_000) continue
    if (!process.stdout.write(text)) await drained()
    text = ''
  }
  process.stdout.write(text, () => process.exit(0))
})
`
