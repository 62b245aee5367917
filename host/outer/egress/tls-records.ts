/** The kinds of records that TLS sends before it is encrypted (RFC 8446, 5.1). */
export const RECORD = { changeCipherSpec: 20, alert: 21, handshake: 22, applicationData: 23 }

/** What was said is not what TLS allows, or all that is let through of it; the message goes on after "it". */
export class RecordError extends Error {}

export interface Fragment {
  kind: number
  /** What of the record has come: all of it, or a part. */
  bytes: Buffer
  /** Whether the record ends with it. */
  isLast: boolean
  /** Where it ends, counted from the begin of the stream. */
  end: number
}

const HEAD_BYTES = 5
/** A handshake begins with a few; each has its cost, however little is in it. */
const MAX_RECORDS = 100

/** Finds the records in a stream, however it is cut. Holds nothing of it but the head of one. */
export class RecordReader {
  readonly #head = Buffer.alloc(HEAD_BYTES)
  #headBytes = 0
  #missing = 0
  #records = 0
  #end = 0;

  /** What stands in the next bytes, as far as it is asked for. @throws RecordError */
  *read(chunk: Buffer): Generator<Fragment> {
    for (let at = 0; at < chunk.length; ) {
      if (this.#headBytes < HEAD_BYTES) {
        const taken = chunk.copy(this.#head, this.#headBytes, at)
        this.#headBytes += taken
        this.#end += taken
        at += taken
        if (this.#headBytes < HEAD_BYTES) return
        this.#missing = lengthOf(this.#head)
        if (++this.#records > MAX_RECORDS) throw new RecordError('comes in crumbs')
        continue
      }
      const bytes = chunk.subarray(at, at + this.#missing)
      this.#missing -= bytes.length
      this.#end += bytes.length
      at += bytes.length
      const kind = this.#head.readUInt8(0)
      // The one byte that it may have.
      if (kind === RECORD.changeCipherSpec && bytes[0] !== 1) throw new RecordError('is no TLS')
      const isLast = this.#missing === 0
      if (isLast) this.#headBytes = 0
      yield { kind, bytes, isLast, end: this.#end }
    }
  }
}

function lengthOf(head: Buffer): number {
  const [kind = 0, version] = head
  const length = head.readUInt16BE(3)
  const { least, most } = LENGTHS[kind] ?? NONE
  if (version !== 3 || length < least || length > most) throw new RecordError('is no TLS')
  return length
}

/** Of a plain record and of an encrypted one, which may be longer, as they can be sent here. */
const LENGTHS: Record<number, { least: number; most: number }> = {
  [RECORD.changeCipherSpec]: { least: 1, most: 1 },
  [RECORD.alert]: { least: 2, most: 2 },
  [RECORD.handshake]: { least: 1, most: 2 ** 14 },
  [RECORD.applicationData]: { least: 0, most: 2 ** 14 + 256 },
}
const NONE = { least: 1, most: 0 }
