import { hostname } from 'node:os'
import { processStart } from '../storage/process-start.ts'

/** Marks a container as ours, and says which process of which machine it belongs to. */
export function hostOwnerLabels(): Record<string, string> {
  return {
    'codexbox.managed': '1',
    'codexbox.host': hostname(),
    'codexbox.pid': String(process.pid),
    // A process id is used again; together with its start it is not.
    'codexbox.pid-start': processStart(process.pid) ?? 'unknown',
  }
}
