/**
 * Collects a tool's output in bounded memory: the head and the tail are kept, since errors tend to
 * stand at the end and what was done at the start; the middle is counted and dropped.
 */
export class ClippedOutput {
  readonly #limit: number
  #head: Buffer[] = []
  #headBytes = 0
  #tail: Buffer[] = []
  #tailBytes = 0
  #totalBytes = 0

  constructor(limitBytes: number) {
    this.#limit = Math.ceil(limitBytes / 2)
  }

  get totalBytes(): number {
    return this.#totalBytes
  }

  push(chunk: Buffer): void {
    this.#totalBytes += chunk.length
    const forHead = chunk.subarray(0, this.#limit - this.#headBytes)
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
    if (this.#tailBytes > 4 * this.#limit || this.#tail.length > 1024) this.#trimTail()
  }

  toString(): string {
    this.#trimTail()
    const head = Buffer.concat(this.#head)
    const tail = Buffer.concat(this.#tail)
    const dropped = this.#totalBytes - head.length - tail.length
    if (dropped === 0) return Buffer.concat([head, tail]).toString('utf8')
    const before = head.subarray(0, wholeCharactersEnd(head)).toString('utf8')
    const after = tail.subarray(wholeCharactersStart(tail)).toString('utf8')
    return `${before}\n[… ${dropped} bytes of ${this.#totalBytes} left out here …]\n${after}`
  }

  #trimTail(): void {
    const joined = Buffer.concat(this.#tail)
    const kept = joined.subarray(Math.max(0, joined.length - this.#limit))
    this.#tail = [Buffer.from(kept)]
    this.#tailBytes = kept.length
  }
}

/** `text` cut to `limitBytes` of UTF-8, its middle left out. */
export function clip(text: string, limitBytes: number): string {
  const output = new ClippedOutput(limitBytes)
  output.push(Buffer.from(text))
  return output.toString()
}

const isContinuation = (byte: number | undefined) => byte !== undefined && (byte & 0xc0) === 0x80

/** Where a cut UTF-8 text has to begin, so that it does not start inside a character. */
function wholeCharactersStart(bytes: Buffer): number {
  let start = 0
  while (start < 3 && isContinuation(bytes[start])) start++
  return start
}

/** Where a cut UTF-8 text has to end, so that it does not stop inside a character. */
function wholeCharactersEnd(bytes: Buffer): number {
  let lead = bytes.length - 1
  while (lead > bytes.length - 4 && isContinuation(bytes[lead])) lead--
  const byte = bytes[lead]
  if (byte === undefined || byte < 0xc0) return bytes.length
  const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
  return lead + length > bytes.length ? lead : bytes.length
}
