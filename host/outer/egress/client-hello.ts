import { RECORD, RecordError, RecordReader } from './tls-records.ts'

/** The result of reading a client's first bytes. `more`: the ClientHello is incomplete. */
export type Hello =
  | { status: 'more' }
  /** The server's name (SNI), if there is one, and where in the bytes the hello ends. */
  | { status: 'read'; serverName: string | undefined; end: number }
  | { status: 'refused'; why: string }

/** With many extensions and post-quantum key shares a ClientHello has two or three thousand bytes. */
const MAX_BYTES = 16 * 1024

/**
 * Reads the ClientHello at the begin of a TLS connection (RFC 8446, 4.1.2; RFC 6066, 3), in chunks of any size.
 * Many sites share the addresses of one network: the server name in the ClientHello, not the tunnel's host, decides
 * which site answers. Ambiguous input is refused. With `isSecond`, after a HelloRetryRequest, the ClientHello may
 * follow records that the server ignores.
 */
export class ClientHelloReader {
  readonly #isSecond: boolean
  readonly #records = new RecordReader()
  readonly #message = Buffer.alloc(MAX_BYTES)
  #length = 0

  constructor({ isSecond = false } = {}) {
    this.#isSecond = isSecond
  }

  /** Takes the next bytes. Must not be called again after any other result than `more`. */
  read(chunk: Buffer): Hello {
    try {
      for (const { kind, bytes, isLast, end } of this.#records.read(chunk)) {
        if (end > MAX_BYTES) throw new WrongHello(TOO_LONG)
        if (this.#isIgnored(kind)) continue
        if (kind !== RECORD.handshake) throw new WrongHello(NO_TLS)
        if (!this.#isCompleteWith(bytes)) continue
        // The client may send nothing else before the server's answer.
        if (!isLast) throw new WrongHello(TOO_MUCH)
        const hello = new Fields(this.#message.subarray(MESSAGE_HEAD_BYTES, this.#length))
        return { status: 'read', serverName: serverNameOf(hello), end }
      }
      return { status: 'more' }
    } catch (error) {
      if (error instanceof WrongHello) return { status: 'refused', why: error.message }
      if (error instanceof RecordError) {
        return { status: 'refused', why: `what was sent ${error.message}` }
      }
      throw error
    }
  }

  /** A change_cipher_spec for old middleboxes (RFC 8446, D.4), or early data. */
  #isIgnored(kind: number): boolean {
    const { changeCipherSpec, applicationData } = RECORD
    const isBefore = this.#isSecond && this.#length === 0
    return isBefore && (kind === changeCipherSpec || kind === applicationData)
  }

  #isCompleteWith(bytes: Buffer): boolean {
    bytes.copy(this.#message, this.#length)
    this.#length += bytes.length
    if (this.#message[0] !== CLIENT_HELLO) throw new WrongHello(NO_TLS)
    if (this.#length < MESSAGE_HEAD_BYTES) return false
    const messageBytes = MESSAGE_HEAD_BYTES + this.#message.readUIntBE(1, 3)
    if (messageBytes > MAX_BYTES) throw new WrongHello(TOO_LONG)
    if (this.#length > messageBytes) throw new WrongHello(TOO_MUCH)
    return this.#length === messageBytes
  }
}

class WrongHello extends Error {}

const NO_TLS = 'what was sent is no TLS'
const TOO_LONG = 'its ClientHello is too long'
const TOO_MUCH = 'more than a ClientHello was sent'

/** Type and length of a handshake message. */
const MESSAGE_HEAD_BYTES = 4
const CLIENT_HELLO = 1
const SERVER_NAME = 0
const HOST_NAME = 0
/** Encrypted ClientHello: the server would use the inner name, which the proxy cannot read. */
const ENCRYPTED_HELLO = 0xfe0d

function serverNameOf(hello: Fields): string | undefined {
  hello.take(2 + 32) // Version and random.
  hello.block(1) // Session.
  hello.block(2) // Ciphers.
  hello.block(1) // Compression.
  if (hello.isAtEnd) return undefined
  const extensions = new Fields(hello.block(2))
  hello.end()
  const seen = new Set<number>()
  let name: string | undefined
  while (!extensions.isAtEnd) {
    const type = extensions.number(2)
    const data = new Fields(extensions.block(2))
    if (seen.has(type)) throw new WrongHello('its ClientHello says something twice')
    seen.add(type)
    if (type === ENCRYPTED_HELLO)
      throw new WrongHello('its ClientHello has an encrypted part (ECH)')
    if (type !== SERVER_NAME) continue
    const names = new Fields(data.block(2))
    data.end()
    if (names.number(1) !== HOST_NAME) throw new WrongHello(BROKEN)
    name = names.block(2).toString('latin1')
    names.end()
  }
  return name
}

const BROKEN = 'its ClientHello is broken'

/** Reads fields in sequence; a field longer than the rest is refused. */
class Fields {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  take(length: number): Buffer {
    const taken = this.#bytes.subarray(this.#at, this.#at + length)
    if (taken.length < length) throw new WrongHello(BROKEN)
    this.#at += length
    return taken
  }

  number(bytes: number): number {
    return this.take(bytes).readUIntBE(0, bytes)
  }

  /** Length-prefixed bytes; the length takes `prefix` bytes. */
  block(prefix: number): Buffer {
    return this.take(this.number(prefix))
  }

  end(): void {
    if (!this.isAtEnd) throw new WrongHello(BROKEN)
  }
}
