import { closeSync, renameSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { openPrivately } from '../storage/open-privately.ts'
import type { Tokens } from './usage-meter.ts'

/** One request of a container. Nothing of what was said, and nothing secret. */
export interface RequestLogLine {
  /** When it came. */
  at: string
  conversation: string
  run: string
  model: string
  /** What the container was answered; 499 when it was gone before. */
  status: number
  /** Why we refused it or gave it up. */
  why?: string
  bytesUp: number
  bytesDown: number
  tokens: Tokens
  /** That the service's figures did not come, and `tokens` are ours: rather too many than too few. */
  estimated?: true
  /** From its arrival to the first byte of the body of the answer; absent when there was none. */
  firstByteMs?: number
  /** To its end. */
  ms: number
}

/** One request of tools for a host of the network. */
export interface EgressLine {
  /** When it came. */
  at: string
  conversation: string
  /** As it was asked for, cut off where it is long. */
  target: string
  /** Why it was refused or failed; absent when the tunnel stood. */
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

/** Some ten thousand requests. */
const MAX_BYTES = 4 * 1024 * 1024

/**
 * Appends to `requests.jsonl` in the data folder: what was asked of the service, and of other hosts, as seen
 * on this one, where no container can change it. When it has grown long, it begins anew and the old one is kept.
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
    // Requests go on without a log; the limits are counted elsewhere.
  }
  return {
    append(line) {
      if (descriptor === undefined) return
      try {
        writeSync(descriptor, `${JSON.stringify(line)}\n`)
      } catch {
        // As above.
      }
    },
    close() {
      if (descriptor === undefined) return
      closeSync(descriptor)
      descriptor = undefined
    },
  }
}
