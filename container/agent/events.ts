import type { EventBody } from '../../shared/protocol.ts'
import { PROTOCOL_VERSION } from '../../shared/protocol-version.ts'

/** Writes one event of a run. */
export type Emit = (event: EventBody) => void

/** Numbers the events of the whole process, over all its runs: a gap or a repeat shows a forger. */
export function eventWriter(write: (line: string) => void): (runId: string) => Emit {
  let seq = 0
  return (runId) => (event) => {
    seq++
    write(`${JSON.stringify({ v: PROTOCOL_VERSION, seq, runId, ...event })}\n`)
  }
}
