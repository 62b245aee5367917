import { thisProcess } from '../storage/process-identity.ts'

/** Marks a container as ours, and says which process of which machine it belongs to. */
export function hostOwnerLabels(): Record<string, string> {
  const { pid, start, host } = thisProcess()
  return {
    'codexbox.managed': '1',
    'codexbox.host': host,
    'codexbox.pid': String(pid),
    // A process id is used again; together with its start it is not.
    'codexbox.pid-start': start ?? 'unknown',
  }
}
