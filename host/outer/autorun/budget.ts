/** What a look may cost. */
export interface Limits {
  /** By the clock. */
  ms: number
  /** Names in folders. */
  entries: number
  /** Of contents. */
  bytes: number
  /** Files and folders that are opened, and steps along links. */
  steps: number
  /** Repositories of git. */
  repositories: number
}

export const LIMITS: Limits = {
  ms: 3000,
  entries: 2_000_000,
  bytes: 256 * 1024 * 1024,
  steps: 500_000,
  repositories: 2000,
}

/** The look has to end here, and says so. */
export class CutShortError extends Error {
  override readonly name = 'CutShortError'
}

/** Counts what costs time and memory, and keeps the one deadline. */
export class Budget {
  readonly limits: Limits
  readonly #left: Limits
  readonly #deadline: number

  constructor(limits: Limits) {
    this.limits = limits
    this.#left = { ...limits }
    this.#deadline = performance.now() + limits.ms
  }

  /** @throws CutShortError when nothing is left of it, or of the time */
  spend(what: Exclude<keyof Limits, 'ms'>, count = 1): void {
    this.#left[what] -= count
    if (this.#left[what] < 0) {
      throw new CutShortError(`there are more than ${this.limits[what]} ${what}`)
    }
    if (performance.now() > this.#deadline) {
      throw new CutShortError(`it took longer than ${this.limits.ms / 1000} s`)
    }
  }
}
