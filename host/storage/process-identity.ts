import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { systemCodeOf } from '../../shared/errors.ts'
import { processStart } from './process-start.ts'

/** Identifies a process uniquely, also in a folder that two machines share. */
export interface ProcessIdentity {
  pid: number
  /** Its start time, because a pid is reused after a while. Not known on all systems. */
  start?: string | undefined
  /** The scope of its pid: the machine since its last boot, and the container. */
  host: string
}

export function thisProcess(): ProcessIdentity {
  return { pid: process.pid, start: processStart(process.pid), host: thisHost() }
}

/** `unseen`: a process of another machine or container, or from before the last boot. */
export function stateOf({ pid, start, host }: ProcessIdentity): 'alive' | 'dead' | 'unseen' {
  if (host !== thisHost()) return 'unseen'
  try {
    process.kill(pid, 0)
  } catch (error) {
    // EPERM: the process is alive and belongs to another user.
    if (systemCodeOf(error) === 'ESRCH') return 'dead'
  }
  const startNow = processStart(pid)
  const isSame = start === undefined || startNow === undefined || start === startNow
  return isSame ? 'alive' : 'dead'
}

/** The identity in untrusted JSON, or undefined. */
export function processIdentityOf(value: unknown): ProcessIdentity | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { pid, start, host } = value as Record<string, unknown>
  if (!Number.isSafeInteger(pid) || Number(pid) <= 0 || typeof host !== 'string') return undefined
  return { pid: Number(pid), host, start: typeof start === 'string' ? start : undefined }
}

let host: string | undefined

/** A host name alone does not suffice: many machines share one, and a container may have that of its machine. */
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
