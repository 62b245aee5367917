/** Limits of one scan. */
export interface Limits {
  /** Wall-clock time. */
  ms: number
  /** Folder entries read. */
  entries: number
  /** Bytes of file contents. */
  bytes: number
  /** Opened files and folders, and steps along links. */
  steps: number
  /** Git repositories. */
  repositories: number
}

export const LIMITS: Limits = {
  ms: 3000,
  entries: 2_000_000,
  bytes: 256 * 1024 * 1024,
  steps: 500_000,
  repositories: 2000,
}

/** A limit is reached: the scan ends here. */
export class CutShortError extends Error {
  override readonly name = 'CutShortError'
}

/** Counts the resources of a scan and checks its deadline. */
export class Budget {
  readonly limits: Limits
  readonly #left: Limits
  readonly #deadline: number

  constructor(limits: Limits) {
    this.limits = limits
    this.#left = { ...limits }
    this.#deadline = performance.now() + limits.ms
  }

  /** @throws CutShortError when this resource or the time is used up */
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
