import { spawnSync } from 'node:child_process'
import { lastPid, processesOf, type SeenProcess } from './process-table.ts'
import type { ExclusiveUser } from './tool-user.ts'

/** How long new processes may keep appearing before all are ended at once. */
const ONE_BY_ONE_MS = 250

/** By when all have to be gone. Beside a fork bomb this process gets little CPU time. */
const LIMIT_MS = 10_000

/** How long the process that ends all at once may take. */
const AT_ONCE_MS = 2000

/** The exceptions: a process, and the sessions (setsid(2)) that the processes `leaders` lead. */
export interface Spared {
  pid: number | undefined
  leaders: readonly number[]
}

const NOTHING: Spared = { pid: undefined, leaders: [] }

/**
 * Ends the processes of the tools' user, except for the spared ones. Synchronous, so that the agent
 * starts nothing meanwhile. Returns false when new processes appeared faster than they could be ended one by
 * one: then all processes of that user were ended, the spared ones as well.
 * @throws Error when some cannot be ended
 */
export function endProcesses(user: ExclusiveUser, spared: Spared = NOTHING): boolean {
  const startedAt = performance.now()
  const isPast = (ms: number) => performance.now() - startedAt > ms
  const ended = new Set<number>()
  let sparing = spared
  // Reading /proc often takes memory, which may be short.
  for (let pauseMs = 1; ; pauseMs = Math.min(2 * pauseMs, 20)) {
    const pidBefore = lastPid()
    const running = processesOf(user.ids.uid).filter(isNotIn(sparing))
    // A process that keeps changing its pid, by fork and exit, may have been missed.
    const isSure = lastPid() === pidBefore
    if (running.length === 0) {
      if (isSure) return sparing === spared
      // A spared session may be starting the processes, which it can do at any later time as well.
      if (sparing.leaders.length > 0 && isPast(ONE_BY_ONE_MS)) return true
    }
    if (isPast(LIMIT_MS)) {
      throw new Error(
        `What the tools have left running cannot be ended (${running.length} processes).`,
      )
    }

    const areNew = !isSure || running.some(({ pid }) => !ended.has(pid))
    for (const { pid } of running) end(pid, ended)
    if (areNew && isPast(ONE_BY_ONE_MS)) {
      sparing = NOTHING
      endAllAtOnce(user)
    }
    pause(pauseMs)
  }
}

function isNotIn({ pid, leaders }: Spared) {
  return (seen: SeenProcess, _: number, all: readonly SeenProcess[]) => {
    const { session } = seen
    const isLed = leaders.includes(session) && all.some((other) => other.pid === session)
    return seen.pid !== pid && !isLed
  }
}

function end(pid: number, ended: Set<number>): void {
  ended.add(pid)
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // The process is gone.
  }
}

/** Sends one signal to all processes of the user. No fork(2) escapes: it fails in a process with a pending SIGKILL. */
function endAllAtOnce({ ids, prefix }: ExclusiveUser): void {
  const [command = '', ...args] = [...prefix, 'sh', '-c', 'kill -KILL -1']
  // May fail, and is then repeated: no process number is free for it, or the tools stop or kill it.
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
