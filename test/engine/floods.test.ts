import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isFull } from '../full-size.ts'
import { hasLargerHeap } from '../larger-heap.ts'
import { describeWithEngine } from '../real-engine.ts'
import { aWorkspace, cleanUp, later } from './engine-contract.ts'
import { startHost } from './host-process.ts'

const MB = 1_000_000
const MOST_MB = 128
/** Each leaves something behind until it is collected. */
const MOST_MB_OF_CONNECTIONS = hasLargerHeap ? 256 : 192
const TIMEOUT_MS = 180_000

const FILES = isFull ? 100_000 : 20_000

/** 500 at once, and another for each that ends. */
const CONNECTS =
  'const connect = () => require("net").connect("/run/codexbox/gateway.sock")' +
  '.on("error", () => {}).on("close", connect); for (let i = 0; i < 500; i++) connect()'

/** Commands a model could have run, and how a run with it may end. */
const floods: [what: string, command: string, ends: RegExp, mostMB?: number][] = [
  [
    'output of 600 MB in lines',
    `yes 'a line of a program that says too much' | head -c ${(isFull ? 600 : 60) * MB}`,
    /^done$/,
  ],
  ['a line of 1 GB', `head -c ${(isFull ? 1000 : 60) * MB} /dev/zero | tr '\\0' x`, /^done$/],
  ['10^6 lines, each by itself', `seq ${isFull ? 1_000_000 : 100_000}`, /^done$/],
  ['a fork bomb', 'bomb() { bomb | bomb & }; bomb; sleep 2', /^(done|failed)$/],
  ['a /tmp that is full', 'head -c 3G /dev/zero > /tmp/full; ls -l /tmp/full', /^done$/],
  [
    `${FILES} files`,
    `mkdir many && cd many && seq ${FILES} | xargs touch && ls | wc -l; cd .. && rm -r many`,
    /^done$/,
  ],
  ['200 orphans', 'for i in $(seq 200); do (setsid sleep 600 &) ; done; sleep 1', /^done$/],
  [
    'processors that never rest',
    'for i in 1 2 3 4; do (while :; do :; done) & done; sleep 3',
    /^done$/,
  ],
  [
    'connections to the gateway',
    `node -e '${CONNECTS}; setTimeout(process.exit, 8000)'`,
    /^done$/,
    MOST_MB_OF_CONNECTIONS,
  ],
  [
    'connections to the gateway that go on',
    `(timeout 20 node -e '${CONNECTS}' &) ; sleep 8`,
    /^done$/,
    MOST_MB_OF_CONNECTIONS,
  ],
  [
    'memory that is full',
    "node -e 'const all = []; for (;;) all.push(Buffer.alloc(1e8, 1))'",
    /^(done|failed)$/,
  ],
]

describeWithEngine('what a tool overflows with', ({ docker, image }) => {
  let folder: string

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'codexbox-floods-'))
  })
  afterAll(async () => {
    await cleanUp()
    rmSync(folder, { recursive: true, force: true })
  })

  test.each(floods)(
    '%s ends with the run, and the host stays small',
    async (what, command, ends, mostMB = MOST_MB) => {
      const startedAt = performance.now()
      const host = startHost({
        prompt: `run: ${command}`,
        workspace: aWorkspace(),
        settings: { provider: 'demo', engine: 'docker', image, dataDir: join(folder, 'data') },
        limits: { runMs: 60_000 },
      })
      later(() => host.child.kill('SIGKILL'))
      const { runId } = await host.until('tool.started')
      const { LogPath } = await docker.getContainer(`codexbox-${runId}`).inspect()

      let peakMB = 0
      const look = () => {
        peakMB = peakOf(Number(host.child.pid)) ?? peakMB
      }
      const looking = setInterval(look, 100)
      const finished = await host.until('finished')
      look()
      clearInterval(looking)
      const stoppingAt = performance.now()
      expect(await host.ended()).toBe(0)
      const stopMs = performance.now() - stoppingAt
      console.log(
        `${what}: ${finished.status} in ${Math.round(stoppingAt - startedAt)} ms, ` +
          `host ${peakMB} MB, gone ${Math.round(stopMs)} ms later`,
      )

      expect(finished.status).toMatch(ends)
      // Only Linux says.
      if (process.platform === 'linux') expect(peakMB).toBeGreaterThan(0)
      expect(peakMB).toBeLessThanOrEqual(mostMB)
      // There is no log that could grow.
      expect(LogPath).toBe('')
      // It was asked to leave first.
      expect(stopMs).toBeLessThan(6000 + 1000)
    },
    TIMEOUT_MS,
  )
})

/** The most memory that a process has had, in MB; undefined once it has ended. */
function peakOf(pid: number): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const peak = /VmHWM:\s+(\d+) kB/.exec(status)?.[1]
    return peak === undefined ? undefined : Math.round(Number(peak) / 1024)
  } catch {
    return undefined
  }
}
