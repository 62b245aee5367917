import { spawnSync } from 'node:child_process'
import { lastNumber, processesOf, type SeenProcess } from './process-table.ts'
import type { ExclusiveUser } from './tool-user.ts'

/** How long new ones may keep turning up before all are ended at once. */
const ONE_BY_ONE_MS = 250

/** By when all have to be gone. What a fork bomb leaves of the processors is little. */
const LIMIT_MS = 10_000

/** How long the process may take that ends all at once. */
const AT_ONCE_MS = 2000

/** What goes on: a process, and the sessions (setsid(2)) that are led by these. */
export interface Spared {
  pid: number | undefined
  leaders: readonly number[]
}

const NOTHING: Spared = { pid: undefined, leaders: [] }

/**
 * Ends the processes of the user of the tools but what is spared. Nothing else happens in this process
 * meanwhile. False: they began new ones faster than they could be ended one by one, so all of that user were
 * ended, the spared ones as well.
 * @throws Error when some cannot be ended
 */
export function endProcesses(user: ExclusiveUser, spared: Spared = NOTHING): boolean {
  const startedAt = performance.now()
  const isPast = (ms: number) => performance.now() - startedAt > ms
  const ended = new Set<number>()
  let sparing = spared
  // Looking often takes memory, where that may be what is short.
  for (let pauseMs = 1; ; pauseMs = Math.min(2 * pauseMs, 20)) {
    const numberBefore = lastNumber()
    const found = processesOf(user.ids.uid).filter(isNotIn(sparing))
    // A process that keeps changing its number, by forking and ending, may have passed by unseen.
    const isSure = lastNumber() === numberBefore
    if (found.length === 0) {
      if (isSure) return sparing === spared
      // What goes on may be what begins processes. It could leave one behind at any later time, too.
      if (sparing.leaders.length > 0 && isPast(ONE_BY_ONE_MS)) return true
    }
    if (isPast(LIMIT_MS)) {
      throw new Error(
        `What the tools have left running cannot be ended (${found.length} processes).`,
      )
    }

    const areNew = !isSure || found.some(({ pid }) => !ended.has(pid))
    for (const { pid } of found) end(pid, ended)
    if (areNew && isPast(ONE_BY_ONE_MS)) {
      sparing = NOTHING
      endAllAtOnce(user)
    }
    pause(pauseMs)
  }
}

function isNotIn({ pid, leaders }: Spared) {
  return (one: SeenProcess, _: number, all: readonly SeenProcess[]) => {
    const { session } = one
    const isLed = leaders.includes(session) && all.some((other) => other.pid === session)
    return one.pid !== pid && !isLed
  }
}

function end(pid: number, ended: Set<number>): void {
  ended.add(pid)
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It is gone.
  }
}

/** No process that is just being begun escapes this one: fork(2) fails in what was sent the signal. */
function endAllAtOnce({ ids, prefix }: ExclusiveUser): void {
  const [command = '', ...args] = [...prefix, 'sh', '-c', 'kill -KILL -1']
  // Without a process to be had it is not even started; as one of that user it may be halted or killed itself.
  spawnSync(command, args, {
    ...ids,
    cwd: '/',
    env: { PATH: process.env.PATH },
    stdio: 'ignore',
    timeout: AT_ONCE_MS,
    killSignal: 'SIGKILL',
  })
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
