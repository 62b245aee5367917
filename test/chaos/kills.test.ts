import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isFull } from '../full-size.ts'
import { describeWithEngine } from '../real-engine.ts'
import { countEvents, HEAVY_PLAN, type Kills, killOnce } from './kills.ts'
import { type PlannedModel, startPlannedModel } from './planned-model.ts'
import { processesOf } from './processes.ts'
import { seed } from './seeded.ts'

const KILLS = isFull ? 50 : 6
const KILLS_IN_CONTAINERS = isFull ? 15 : 2
/** Side by side. */
const LANES = 4
const TIMEOUT_MS = 1_800_000

let root: string
let model: PlannedModel
let common: Pick<Kills, 'model' | 'root'>
/** Of a run that nobody disturbs; a kill is at one of them. */
let events: number

beforeAll(async () => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-kills-')))
  model = await startPlannedModel(HEAVY_PLAN)
  common = { model, root }
  events = await countEvents({ ...common, engine: 'process' })
})

afterAll(async () => {
  await model.close()
  rmSync(root, { recursive: true, force: true })
})

test.each<['host' | 'agent' | 'worker']>([['host'], ['agent'], ['worker']])(
  `${KILLS} kills of the %s: the work is completed, nothing is lost, nothing is done twice unsaid`,
  async (target) => {
    await killMany({ ...common, engine: 'process', aim: aimAt(target) }, target, KILLS)
  },
  TIMEOUT_MS,
)

describeWithEngine('in containers', ({ docker }) => {
  test.each<['host' | 'agent' | 'worker']>([['host'], ['agent'], ['worker']])(
    `${KILLS_IN_CONTAINERS} kills of the %s: the work is completed, nothing is lost, nothing is done twice unsaid`,
    async (target) => {
      const aim: Kills['aim'] = (_host, runId) => {
        const container = docker.getContainer(`codexbox-${runId}`)
        return async () => {
          const Cmd = ['bash', '-c', KILL_INSIDE, '-', target]
          const exec = await container.exec({ Cmd, User: '0:0', AttachStdout: true }).catch(gone)
          const stream = await exec?.start({}).catch(gone)
          if (!exec || !stream) return false
          await new Promise((resolve) => stream.resume().once('close', resolve))
          const result = await exec.inspect().catch(gone)
          // The exec ends with the container, and so with the agent.
          return target === 'agent' || result?.ExitCode === 0
        }
      }
      await killMany(
        { ...common, engine: 'docker', aim: target === 'host' ? aimAt('host') : aim },
        target,
        KILLS_IN_CONTAINERS,
      )
    },
    TIMEOUT_MS,
  )
})

async function killMany(kills: Kills, target: string, count: number): Promise<void> {
  const left = Array.from({ length: count }, (_, index) => seed + index)
  const sum = { hits: 0, resumed: 0, twice: 0, uncertain: 0 }
  const lane = async () => {
    for (let one = left.shift(); one !== undefined; one = left.shift()) {
      const outcome = await killOnce(kills, events, one).catch((error: unknown) => {
        throw new Error(`CHAOS_SEED=${one}, kill of the ${target}`, { cause: error })
      })
      if (outcome.hit) sum.hits++
      if (outcome.status !== 'done') sum.resumed++
      // Survived inside the run.
      if (target === 'worker') expect(outcome.status).toBe('done')
      sum.twice += outcome.twice
      sum.uncertain += outcome.uncertain
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))

  console.info(
    `${count} kills of the ${target} (${kills.engine}) in runs of ${events} events: ${sum.hits} hit, ${sum.resumed} resumed, ${sum.uncertain} calls said to be uncertain, ${sum.twice} of them done twice`,
  )
  // Most were indeed in the middle of it; a few may all have come too late.
  if (count >= 10) expect(sum.hits).toBeGreaterThan(count / 2)
}

function aimAt(target: 'host' | 'agent' | 'worker'): Kills['aim'] {
  return ({ child }) => {
    if (target === 'host') return () => child.kill('SIGKILL')
    const known = processesOf(child.pid)[target]
    return () => {
      const pid = known ?? processesOf(child.pid)[target]
      try {
        return pid !== undefined && process.kill(pid, 'SIGKILL')
      } catch {
        // It was gone before.
        return false
      }
    }
  }
}

/** The container is gone before. */
function gone(): undefined {}

/** The agent is node with a script, the worker the same with one more argument. */
const KILL_INSIDE = `
for folder in /proc/[0-9]*; do
  args=$(tr '\\0' ' ' <"$folder/cmdline" 2>/dev/null)
  case "$args" in
    node\\ *' worker '* | */node\\ *' worker '*) is=worker ;;
    node\\ *agent.cjs* | */node\\ *agent.cjs*) is=agent ;;
    *) is=other ;;
  esac
  case "$args" in *docker-init*) is=other ;; esac
  if [ "$is" = "$1" ]; then kill -9 "\${folder#/proc/}" && exit 0; fi
done
exit 1
`
