import type { RunFailure } from '../../shared/protocol.ts'
import { type ModelFailure, runFailureOf } from './model-failure.ts'

/** Retries in a row, whatever the reason. */
export const MAX_RETRIES = 5
const FIRST_RETRY_MS = 200
/** A wait longer than this is for the user to decide, not for a run to sit through. */
export const MAX_WAIT_MS = 120_000
/**
 * From the first failure in a row to the next request. Longer than a few waits take, since the
 * attempts themselves count: an answer may take minutes until it breaks off again.
 */
export const MAX_ELAPSED_MS = 600_000

export type NextStep =
  /** `attempt` counts from 1. */
  { attempt: number; delayMs: number } | { giveUp: RunFailure }

/**
 * When to ask again after a failure, and when not to: one budget for all kinds of failure, given back
 * by a success. A remedy other than `retry` is none of its business and means that the run ends.
 */
export class RetryPolicy {
  readonly #now: () => number
  readonly #random: () => number
  #failures = 0
  #firstFailedAt = 0

  /** `now`: milliseconds of a clock that never jumps; `random`: from 0 to 1. */
  constructor(now: () => number = () => performance.now(), random: () => number = Math.random) {
    this.#now = now
    this.#random = random
  }

  next(failure: ModelFailure): NextStep {
    if (failure.remedy !== 'retry') return this.#giveUp(failure)
    if (this.#failures === 0) this.#firstFailedAt = this.#now()
    const elapsedMs = this.#now() - this.#firstFailedAt
    const delayMs = failure.waitMs ?? this.#backoffMs()
    const isTooMuch = delayMs > MAX_WAIT_MS || elapsedMs + delayMs > MAX_ELAPSED_MS
    if (this.#failures >= MAX_RETRIES || isTooMuch) return this.#giveUp(failure)
    this.#failures++
    return { attempt: this.#failures, delayMs }
  }

  /** A response was complete: what comes next is a new beginning. */
  succeeded(): void {
    this.#failures = 0
  }

  /** Ten percent of jitter, so that many agents do not come back in the same moment. */
  #backoffMs(): number {
    return Math.round(FIRST_RETRY_MS * 2 ** this.#failures * (0.9 + this.#random() * 0.2))
  }

  #giveUp(failure: ModelFailure): NextStep {
    const told = runFailureOf(failure)
    if (this.#failures === 0) return { giveUp: told }
    return { giveUp: { ...told, message: `${told.message} Tried ${this.#failures + 1} times.` } }
  }
}
