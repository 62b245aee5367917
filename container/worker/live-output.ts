import { ClippedOutput, wholeCharactersEnd } from './clipped-output.ts'

const INTERVAL_MS = 100
const MAX_BYTES = 8 * 1024

/**
 * Passes on what a tool puts out while it runs, at most so often and so much at once; of a flood the
 * middle is left out. Nothing is passed on after `end`.
 */
export class LiveOutput {
  readonly #send: (text: string) => void
  readonly #isBusy: () => boolean
  #pending = new ClippedOutput(MAX_BYTES)
  /** The beginning of a character whose end has not come yet. */
  #torn: Buffer = Buffer.alloc(0)
  #timer: NodeJS.Timeout | undefined
  #hasEnded = false

  /** While the reader `isBusy` with what it has, what comes is collected and thinned instead. */
  constructor(send: (text: string) => void, isBusy: () => boolean) {
    this.#send = send
    this.#isBusy = isBusy
  }

  push(chunk: Buffer): void {
    if (this.#hasEnded || chunk.length === 0) return
    const bytes = this.#torn.length === 0 ? chunk : Buffer.concat([this.#torn, chunk])
    const end = wholeCharactersEnd(bytes)
    // Copied: a slice would keep the whole pipe buffer alive.
    this.#torn = Buffer.from(bytes.subarray(end))
    this.#pending.push(bytes.subarray(0, end))
    this.#timer ??= setTimeout(() => this.#flush(), INTERVAL_MS)
  }

  /** Passes on what is left. */
  end(): void {
    clearTimeout(this.#timer)
    this.#pending.push(this.#torn)
    this.#pass()
    this.#hasEnded = true
  }

  #flush(): void {
    this.#timer = this.#isBusy() ? setTimeout(() => this.#flush(), INTERVAL_MS) : undefined
    if (!this.#timer) this.#pass()
  }

  #pass(): void {
    if (this.#pending.totalBytes === 0) return
    this.#send(this.#pending.toString())
    this.#pending = new ClippedOutput(MAX_BYTES)
  }
}
