import { isUtf8 } from 'node:buffer'

/**
 * Collects a tool's output in bounded memory: the head and the tail stay, since a log tends to begin
 * with the actions and to end with the errors; the middle is counted and dropped.
 */
export class ClippedOutput {
  readonly #headLimit: number
  readonly #tailLimit: number
  #head: Buffer[] = []
  #headBytes = 0
  #tail: Buffer[] = []
  #tailBytes = 0
  #totalBytes = 0

  constructor(limitBytes: number) {
    this.#headLimit = Math.ceil(limitBytes / 2)
    this.#tailLimit = Math.floor(limitBytes / 2)
  }

  get totalBytes(): number {
    return this.#totalBytes
  }

  push(chunk: Buffer): void {
    this.#totalBytes += chunk.length
    const forHead = chunk.subarray(0, this.#headLimit - this.#headBytes)
    if (forHead.length > 0) {
      // Copied: a slice would keep the whole pipe buffer alive.
      this.#head.push(Buffer.from(forHead))
      this.#headBytes += forHead.length
    }
    const forTail = chunk.subarray(forHead.length)
    if (forTail.length === 0) return
    this.#tail.push(Buffer.from(forTail))
    this.#tailBytes += forTail.length
    // Joined only now and then, so that a flood of small chunks stays linear.
    if (this.#tailBytes > 4 * this.#tailLimit || this.#tail.length > 1024) this.#trimTail()
  }

  /** Removes and returns the bytes of an incomplete character at the end. */
  takeUnfinished(): Buffer {
    const pieces = this.#tailBytes > 0 ? this.#tail : this.#head
    const joined = Buffer.concat(pieces)
    const end = wholeCharactersEnd(joined)
    const rest = joined.subarray(end)
    pieces.splice(0, pieces.length, joined.subarray(0, end))
    if (pieces === this.#tail) this.#tailBytes = end
    else this.#headBytes = end
    this.#totalBytes -= rest.length
    return rest
  }

  /** Whether the parts that `toString` returns are valid UTF-8, so that it loses no byte of them. */
  get isExact(): boolean {
    return this.#parts().every((part) => isUtf8(part))
  }

  toString(): string {
    const [head, tail = Buffer.alloc(0)] = this.#parts()
    const isComplete = this.#headBytes + this.#tailBytes === this.#totalBytes
    if (isComplete) return `${head}`
    const dropped = this.#totalBytes - (head?.length ?? 0) - tail.length
    return `${head}\n[… ${dropped} bytes of ${this.#totalBytes} left out here …]\n${tail}`
  }

  /** One part where nothing was dropped; otherwise the head and the tail, each of whole characters. */
  #parts(): Buffer[] {
    this.#trimTail()
    const [head, tail] = [Buffer.concat(this.#head), Buffer.concat(this.#tail)]
    if (this.#headBytes + this.#tailBytes === this.#totalBytes) return [Buffer.concat([head, tail])]
    return [head.subarray(0, wholeCharactersEnd(head)), tail.subarray(wholeCharactersStart(tail))]
  }

  #trimTail(): void {
    const joined = Buffer.concat(this.#tail)
    const tail = joined.subarray(Math.max(0, joined.length - this.#tailLimit))
    this.#tail = [Buffer.from(tail)]
    this.#tailBytes = tail.length
  }
}

/** `text` cut to `limitBytes` of UTF-8, without its middle. */
export function clip(text: string, limitBytes: number): string {
  const output = new ClippedOutput(limitBytes)
  output.push(Buffer.from(text))
  return output.toString()
}

const isContinuation = (byte: number | undefined) => byte !== undefined && (byte & 0xc0) === 0x80

/** The start of the first whole character of a cut UTF-8 text. */
function wholeCharactersStart(bytes: Buffer): number {
  let start = 0
  while (start < 3 && isContinuation(bytes[start])) start++
  return start
}

/** The end of the last whole character of a cut UTF-8 text. */
export function wholeCharactersEnd(bytes: Buffer): number {
  let lead = bytes.length - 1
  while (lead > bytes.length - 4 && isContinuation(bytes[lead])) lead--
  const byte = bytes[lead]
  if (byte === undefined || byte < 0xc0) return bytes.length
  const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
  return lead + length > bytes.length ? lead : bytes.length
}
