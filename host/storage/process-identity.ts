import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { systemCodeOf } from '../../shared/errors.ts'
import { processStart } from './process-start.ts'

/** Names a process so that no other is taken for it, also in a folder that two machines share. */
export interface ProcessIdentity {
  pid: number
  /** When it started: a number is used again after a while. Not known on all systems. */
  start?: string | undefined
  /** Where its number counts: the machine since its last boot, and the container. */
  host: string
}

export function thisProcess(): ProcessIdentity {
  return { pid: process.pid, start: processStart(process.pid), host: thisHost() }
}

/** `unseen` are the processes of other machines, of other containers, and from before the last boot. */
export function stateOf({ pid, start, host }: ProcessIdentity): 'alive' | 'dead' | 'unseen' {
  if (host !== thisHost()) return 'unseen'
  try {
    process.kill(pid, 0)
  } catch (error) {
    // EPERM: it lives, and is somebody else's.
    if (systemCodeOf(error) === 'ESRCH') return 'dead'
  }
  const startNow = processStart(pid)
  const isSame = start === undefined || startNow === undefined || start === startNow
  return isSame ? 'alive' : 'dead'
}

/** The identity in JSON that anybody may have written, or undefined. */
export function processIdentityOf(value: unknown): ProcessIdentity | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { pid, start, host } = value as Record<string, unknown>
  if (!Number.isSafeInteger(pid) || Number(pid) <= 0 || typeof host !== 'string') return undefined
  return { pid: Number(pid), host, start: typeof start === 'string' ? start : undefined }
}

let host: string | undefined

/** Host names alone do not do: they are often all alike, and containers may have that of the machine. */
function thisHost(): string {
  host ??= [hostname(), bootId(), pidNamespace()].filter((part) => part !== '').join('/')
  return host
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return '' // Not Linux.
  }
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return '' // Not Linux.
  }
}
