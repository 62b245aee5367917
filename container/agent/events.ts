import type { EventBody } from '../../shared/protocol.ts'
import { PROTOCOL_VERSION } from '../../shared/protocol-version.ts'

/** Writes one event of a run; returns its number. */
export type Emit = (event: EventBody) => number

/** Numbers the events of the process over all its runs: a gap or a repeat reveals a forged event. */
export function eventWriter(write: (line: string) => void): (runId: string) => Emit {
  let seq = 0
  return (runId) => (event) => {
    seq++
    write(`${JSON.stringify({ v: PROTOCOL_VERSION, seq, runId, ...event })}\n`)
    return seq
  }
}
