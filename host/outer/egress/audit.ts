import type { EgressLine } from '../../gateway/request-log.ts'
import type { TunnelRecord } from './tunnels.ts'

/** Of what was refused: who goes on asking must fill neither the disk nor the screen. */
const MAX_LINES = 1000
const MAX_TOLD = 20

/**
 * Takes down what the tools of a conversation reach, all of it, and tells the person what was refused, once for
 * each.
 */
export function egressAudit(
  conversation: string,
  { note, tell }: { note: (line: EgressLine) => void; tell: (message: string) => void },
): (target: TunnelRecord) => void {
  let refusals = 0
  const told = new Set<string>()
  return (target) => {
    if (!target.why || refusals++ < MAX_LINES) note({ ...target, conversation })
    if (!target.why || told.has(target.target) || told.size === MAX_TOLD) return
    told.add(target.target)
    tell(`The sandbox asked for ${target.target}: ${target.why}.`)
  }
}
