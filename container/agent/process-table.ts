import { readdirSync, readFileSync } from 'node:fs'
import { systemCodeOf } from '../../shared/errors.ts'

/** A process as /proc shows it. */
export interface SeenProcess {
  pid: number
  /** The number of its session (setsid(2)); 0 where the kernel does not say. */
  session: number
}

/**
 * The live processes of user `uid`, which may be their real, effective or saved user id.
 * @throws the system's error for a process that exists and cannot be read
 */
export function processesOf(uid: number): SeenProcess[] {
  return allProcesses()
    .filter(({ status }) => isOf(uid, status) && !isDead(status))
    .map(({ pid, status }) => ({ pid, session: Number(/^NSsid:\t(\d+)/m.exec(status)?.[1] ?? 0) }))
}

/** The pids of the running children of `parent`. */
export function childrenOf(parent: number): number[] {
  return allProcesses()
    .filter(({ status }) => status.includes(`\nPPid:\t${parent}\n`))
    .map(({ pid }) => pid)
}

/** The id of the process or thread that was begun last in our pid namespace (proc(5), /proc/loadavg). */
export function lastPid(): string | undefined {
  return readFileSync('/proc/loadavg', 'latin1').trim().split(' ').at(-1)
}

function allProcesses(): { pid: number; status: string }[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      return [{ pid: Number(name), status: readFileSync(`/proc/${name}/status`, 'latin1') }]
    } catch (error) {
      // The process has ended. After any other error its state is unknown.
      if (GONE.includes(systemCodeOf(error) ?? '')) return []
      throw error
    }
  })
}

/** The process ended before its file was opened, or after. */
const GONE = ['ENOENT', 'ESRCH']

function isOf(uid: number, status: string): boolean {
  const [, real, effective, saved] = /^Uid:\t(\d+)\t(\d+)\t(\d+)/m.exec(status) ?? []
  return [real, effective, saved].includes(`${uid}`)
}

/** A process whose first thread alone has ended is shown as a zombie, too, and still runs. */
function isDead(status: string): boolean {
  return /^State:\t[ZX]/m.test(status) && /^Threads:\t[01]$/m.test(status)
}
