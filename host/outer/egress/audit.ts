import type { EgressLine } from '../../gateway/request-log.ts'
import type { TunnelRecord } from './tunnels.ts'

/** Bounds for refusals: a client that keeps retrying must fill neither the disk nor the screen. */
const MAX_REFUSAL_LINES = 1000
const MAX_REPORTED = 20

/**
 * Logs every tunnel request of a conversation. Reports each refused host to the user once.
 */
export function egressAudit(
  conversation: string,
  { note, tell }: { note: (line: EgressLine) => void; tell: (message: string) => void },
): (target: TunnelRecord) => void {
  let refusals = 0
  const reported = new Set<string>()
  return (target) => {
    if (!target.why || refusals++ < MAX_REFUSAL_LINES) note({ ...target, conversation })
    if (!target.why || reported.has(target.target) || reported.size === MAX_REPORTED) return
    reported.add(target.target)
    tell(`The sandbox asked for ${target.target}: ${target.why}.`)
  }
}
