import { closeSync, renameSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { openPrivately } from '../storage/open-privately.ts'
import type { Tokens } from './usage-meter.ts'

/** One request of a container. No content and no secrets. */
export interface RequestLogLine {
  /** When it came. */
  at: string
  conversation: string
  run: string
  model: string
  /** The status sent to the container; 499 when it had disconnected. */
  status: number
  /** Why the gateway refused or aborted it. */
  why?: string
  bytesUp: number
  bytesDown: number
  tokens: Tokens
  /** The service sent no figures, and `tokens` is the gateway's estimate: rather too many than too few. */
  estimated?: true
  /** From arrival to the first byte of the answer's body; absent without one. */
  firstByteMs?: number
  /** To its end. */
  ms: number
}

/** One request of tools for a host of the network. */
export interface EgressLine {
  /** When it came. */
  at: string
  conversation: string
  /** As requested, truncated. */
  target: string
  /** Why it was refused or failed; absent when the tunnel was open. */
  why?: string
  bytesUp: number
  bytesDown: number
  /** To its end. */
  ms: number
}

export interface RequestLog {
  /** Never throws. */
  append(line: RequestLogLine | EgressLine): void
  close(): void
}

/** About ten thousand requests. */
const MAX_BYTES = 4 * 1024 * 1024

/**
 * Appends to `requests.jsonl` in the data folder: the requests to the service and to other hosts, as seen
 * on the host, where no container can change the log. A full file is rotated; one old file is kept.
 */
export function openRequestLog(dataDir: string): RequestLog {
  const file = join(dataDir, 'requests.jsonl')
  let descriptor: number | undefined
  try {
    if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > MAX_BYTES) {
      renameSync(file, `${file}.old`)
    }
    descriptor = openPrivately(file)
  } catch {
    // Requests go on without a log; the budget does not depend on it.
  }
  return {
    append(line) {
      if (descriptor === undefined) return
      try {
        writeSync(descriptor, `${JSON.stringify(line)}\n`)
      } catch {
        // See above.
      }
    },
    close() {
      if (descriptor === undefined) return
      closeSync(descriptor)
      descriptor = undefined
    },
  }
}
