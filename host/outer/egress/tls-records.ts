/** The content types of TLS records before encryption (RFC 8446, 5.1). */
export const RECORD = { changeCipherSpec: 20, alert: 21, handshake: 22, applicationData: 23 }

/** The bytes are no TLS, or TLS that the proxy does not allow. The message is a predicate: "is …", "comes …". */
export class RecordError extends Error {}

export interface Fragment {
  kind: number
  /** All bytes of the record, or a part. */
  bytes: Buffer
  /** Whether this is the end of the record. */
  isLast: boolean
  /** The stream offset at which the fragment ends. */
  end: number
}

const HEAD_BYTES = 5
/** A handshake begins with a few records; each costs time, however short it is. */
const MAX_RECORDS = 100

/** Splits a stream, in chunks of any size, into records. Buffers only one record header. */
export class RecordReader {
  readonly #head = Buffer.alloc(HEAD_BYTES)
  #headBytes = 0
  #missing = 0
  #records = 0
  #end = 0;

  /** Yields the fragments in the next bytes, lazily. @throws RecordError */
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
      // A change_cipher_spec is the single byte 1.
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
  const { min, max } = LENGTHS[kind] ?? NONE
  if (version !== 3 || length < min || length > max) throw new RecordError('is no TLS')
  return length
}

/** Allowed lengths at this stage of a connection; an encrypted record may be longer than a plain one. */
const LENGTHS: Record<number, { min: number; max: number }> = {
  [RECORD.changeCipherSpec]: { min: 1, max: 1 },
  [RECORD.alert]: { min: 2, max: 2 },
  [RECORD.handshake]: { min: 1, max: 2 ** 14 },
  [RECORD.applicationData]: { min: 0, max: 2 ** 14 + 256 },
}
const NONE = { min: 1, max: 0 }
