import {
  type ProcessIdentity,
  processIdentityOf,
  thisProcess,
} from '../storage/process-identity.ts'

/** What all containers of ours have in common. */
export const MANAGED_LABEL = 'codexbox.managed=1'

/** What a container of ours has of the host's files. */
export interface Shared {
  /** The host's path of the workspace. */
  workspace: string
  /** Its `device:inode`. */
  identity: string
  /** Below the workspace: what is mounted on top of itself. */
  pins: readonly string[]
}

export function sharedLabels({ workspace, identity, pins }: Shared): Record<string, string> {
  return {
    'codexbox.workspace': workspace,
    'codexbox.workspace-identity': identity,
    'codexbox.pins': pins.join(','),
  }
}

/** Undefined when the labels do not say. */
export function sharedIn(labels: Record<string, string>): Shared | undefined {
  const workspace = labels['codexbox.workspace']
  const identity = labels['codexbox.workspace-identity']
  if (!workspace || !identity) return undefined
  return { workspace, identity, pins: (labels['codexbox.pins'] ?? '').split(',').filter(Boolean) }
}

/** Marks a container as ours, and says which process of which machine it belongs to. */
export function hostOwnerLabels(): Record<string, string> {
  const { pid, start, host } = thisProcess()
  return {
    'codexbox.managed': '1',
    'codexbox.host': host,
    'codexbox.pid': String(pid),
    // A process id is used again; together with its start it is not.
    'codexbox.pid-start': start ?? UNKNOWN,
  }
}

/** Whose container it is, or undefined when its labels are not those of one of ours. */
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
