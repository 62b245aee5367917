import type { RunFailure } from '../../shared/protocol.ts'
import { type ModelFailure, runFailureOf } from './model-failure.ts'

/** Retries in a row, for all kinds of failure. */
export const MAX_RETRIES = 5
const FIRST_RETRY_MS = 200
/** A longer wait ends the run, so that the user decides. */
export const MAX_WAIT_MS = 120_000
/**
 * From the first failure in a row to the next request. Longer than a few waits, since the attempts
 * themselves count: an answer may take minutes before it breaks off again.
 */
export const MAX_ELAPSED_MS = 600_000

export type NextStep =
  /** `attempt` counts from 1. */
  { attempt: number; delayMs: number } | { giveUp: RunFailure }

/**
 * Decides whether and when to ask again after a failure: one budget for all kinds of failure, reset by
 * a success. A failure with a remedy other than `retry` ends the run here.
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

  /** A response was complete: the budget starts anew. */
  succeeded(): void {
    this.#failures = 0
  }

  /** Ten percent of jitter, so that many agents do not come back in the same moment. */
  #backoffMs(): number {
    return Math.round(FIRST_RETRY_MS * 2 ** this.#failures * (0.9 + this.#random() * 0.2))
  }

  #giveUp(failure: ModelFailure): NextStep {
    const reported = runFailureOf(failure)
    if (this.#failures === 0) return { giveUp: reported }
    const message = `${reported.message} Tried ${this.#failures + 1} times.`
    return { giveUp: { ...reported, message } }
  }
}
