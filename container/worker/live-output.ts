import { ClippedOutput, wholeCharactersEnd } from './clipped-output.ts'

const INTERVAL_MS = 100
const MAX_BYTES = 8 * 1024

/**
 * Passes on the output of a running tool, at most every `INTERVAL_MS` and `MAX_BYTES` at once; the
 * middle of a flood is left out. Nothing is passed on after `end`.
 */
export class LiveOutput {
  readonly #send: (text: string) => void
  readonly #isBusy: () => boolean
  #pending = new ClippedOutput(MAX_BYTES)
  /** The first bytes of an incomplete character. */
  #unfinished: Buffer = Buffer.alloc(0)
  #timer: NodeJS.Timeout | undefined
  #hasEnded = false

  /** While the reader `isBusy`, output is collected and clipped instead of sent. */
  constructor(send: (text: string) => void, isBusy: () => boolean) {
    this.#send = send
    this.#isBusy = isBusy
  }

  push(chunk: Buffer): void {
    if (this.#hasEnded || chunk.length === 0) return
    const bytes = this.#unfinished.length === 0 ? chunk : Buffer.concat([this.#unfinished, chunk])
    const end = wholeCharactersEnd(bytes)
    // Copied: a slice would keep the whole pipe buffer alive.
    this.#unfinished = Buffer.from(bytes.subarray(end))
    this.#pending.push(bytes.subarray(0, end))
    this.#timer ??= setTimeout(() => this.#flush(), INTERVAL_MS)
  }

  /** Passes on the rest. */
  end(): void {
    clearTimeout(this.#timer)
    this.#pending.push(this.#unfinished)
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
