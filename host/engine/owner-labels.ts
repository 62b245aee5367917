import {
  type ProcessIdentity,
  processIdentityOf,
  thisProcess,
} from '../storage/process-identity.ts'

/** On every container of this package. */
export const MANAGED_LABEL = 'codexbox.managed=1'

/** The host's files in one of our containers. */
export interface Shared {
  /** The host's path of the workspace. */
  workspace: string
  /** Its `device:inode`. */
  identity: string
  /** Paths below the workspace that are mounted on top of themselves. */
  pins: readonly string[]
}

export function sharedLabels({ workspace, identity, pins }: Shared): Record<string, string> {
  return {
    'codexbox.workspace': workspace,
    'codexbox.workspace-identity': identity,
    'codexbox.pins': pins.join(','),
  }
}

/** Undefined when the labels are missing. */
export function sharedIn(labels: Record<string, string>): Shared | undefined {
  const workspace = labels['codexbox.workspace']
  const identity = labels['codexbox.workspace-identity']
  if (!workspace || !identity) return undefined
  return { workspace, identity, pins: (labels['codexbox.pins'] ?? '').split(',').filter(Boolean) }
}

/** Marks a container as ours, with the process and machine that own it. */
export function hostOwnerLabels(): Record<string, string> {
  const { pid, start, host } = thisProcess()
  return {
    'codexbox.managed': '1',
    'codexbox.host': host,
    'codexbox.pid': String(pid),
    // Process ids are reused; the pair of id and start time is not.
    'codexbox.pid-start': start ?? UNKNOWN,
  }
}

/** The owner of the container, or undefined when its labels are not ours. */
export function ownerIn(labels: Record<string, string>): ProcessIdentity | undefined {
  if (labels['codexbox.managed'] !== '1') return undefined
  const start = labels['codexbox.pid-start']
  return processIdentityOf({
    host: labels['codexbox.host'],
    pid: Number(labels['codexbox.pid']),
    start: start === UNKNOWN ? undefined : start,
  })
}

const UNKNOWN = 'unknown'
