import {
  type ProcessIdentity,
  processIdentityOf,
  thisProcess,
} from '../storage/process-identity.ts'

/** What all containers of ours have in common. */
export const MANAGED_LABEL = 'codexbox.managed=1'

/** The host's path of what it works in. */
export const WORKSPACE_LABEL = 'codexbox.workspace'

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
