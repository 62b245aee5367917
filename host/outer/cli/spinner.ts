import type { WriteStream } from 'node:tty'
import { oneLine } from '../../../shared/visible-text.ts'

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const FRAME_MS = 80

/**
 * A spinner at the end of the output. (The packages for this handle Ctrl-C themselves and end the
 * process, which would leave a container behind.)
 */
export class Spinner {
  readonly #out: WriteStream
  readonly #paint: (text: string) => string
  #timer: NodeJS.Timeout | undefined
  #label = ''
  #detail = ''
  #since = 0
  #frame = 0

  constructor(out: WriteStream, paint: (text: string) => string) {
    this.#out = out
    this.#paint = paint
  }

  /** The elapsed seconds restart when `label` changes; `detail` may change at any time. */
  show(label: string, detail = ''): void {
    if (this.#label !== label) this.#since = performance.now()
    this.#label = label
    this.#detail = detail
    if (this.#timer) return
    this.#timer = setInterval(() => this.#draw(), FRAME_MS)
    this.#timer.unref()
    this.#draw()
  }

  /** Clears the line for other output. */
  hide(): void {
    if (!this.#timer) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#out.write('\r\x1b[K')
  }

  #draw(): void {
    const elapsed = Math.floor((performance.now() - this.#since) / 1000)
    const frame = FRAMES[this.#frame++ % FRAMES.length]
    const since = elapsed > 0 ? ` ${elapsed} s` : ''
    const detail = this.#detail && ` · ${this.#detail}`
    const text = oneLine(`${frame} ${this.#label}${since}${detail}`, (this.#out.columns || 80) - 1)
    this.#out.write(`\r\x1b[K${this.#paint(text)}`)
  }
}
