/** What the first bytes of a client say. `more`: not enough of them yet. */
export type Hello =
  | { status: 'more' }
  /** The server's name (SNI), if there is one, and where in the bytes the hello ends. */
  | { status: 'read'; serverName: string | undefined; end: number }
  | { status: 'refused'; why: string }

/** With many extensions and the keys of new ciphers it has two or three thousand bytes. */
const MAX_BYTES = 16 * 1024

/**
 * Reads the ClientHello that a TLS connection begins with (RFC 8446, 4.1.2; RFC 6066, 3). Many sites
 * share the addresses of one network: the name in here, and not that of the tunnel, says which of them
 * answers. Whatever could be read in two ways is refused. Before one that `isSecond`, since the server has asked
 * for another, there may be what a client has said in the meantime and no server reads.
 */
export function readClientHello(bytes: Buffer, { isSecond = false } = {}): Hello {
  try {
    const start = isSecond ? endOfUnread(bytes) : 0
    const message = handshakeMessage(bytes, start)
    if (!message) return { status: 'more' }
    return { status: 'read', serverName: serverNameOf(message.body), end: message.end }
  } catch (error) {
    if (error instanceof WrongHello) return { status: 'refused', why: error.message }
    throw error
  }
}

class WrongHello extends Error {}

const NO_TLS = 'what was sent is no TLS'

const HANDSHAKE_RECORD = 22
/** The one is said for the sake of old middleboxes (RFC 8446, D.4), the other is early data. */
const UNREAD_RECORDS = [20, 23]
const CLIENT_HELLO = 1
const SERVER_NAME = 0
const HOST_NAME = 0
/** Encrypted ClientHello: the name that counts would be another, which nobody here can read. */
const ENCRYPTED_HELLO = 0xfe0d

function endOfUnread(bytes: Buffer): number {
  let end = 0
  while (UNREAD_RECORDS.includes(bytes[end] ?? 0)) {
    if (end + 5 > bytes.length) return bytes.length
    end += 5 + bytes.readUInt16BE(end + 3)
  }
  return end
}

/** The body of the first message, put together from its records; undefined while it is not whole. */
function handshakeMessage(bytes: Buffer, from: number): { body: Fields; end: number } | undefined {
  const pieces: Buffer[] = []
  let end = from
  while (end < bytes.length) {
    if (bytes[end] !== HANDSHAKE_RECORD) throw new WrongHello(NO_TLS)
    if (end + 5 > bytes.length) break
    const start = end + 5
    end = start + bytes.readUInt16BE(end + 3)
    if (bytes[start - 4] !== 3 || end === start) throw new WrongHello(NO_TLS)
    pieces.push(bytes.subarray(start, end))
    // One record usually holds it all.
    if (isWhole(pieces)) {
      if (end > bytes.length) throw new WrongHello('more than a ClientHello was sent')
      return { body: new Fields(Buffer.concat(pieces).subarray(4)), end }
    }
  }
  if (bytes.length > MAX_BYTES) throw new WrongHello('its ClientHello is too long')
  return undefined
}

function isWhole(pieces: readonly Buffer[]): boolean {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
  const head = Buffer.concat(pieces.slice(0, 4), Math.min(length, 4))
  if (head[0] !== undefined && head[0] !== CLIENT_HELLO) throw new WrongHello(NO_TLS)
  if (length < 4) return false
  const whole = 4 + head.readUIntBE(1, 3)
  // It is the last of its record: nothing else may be said before the answer.
  if (length > whole) throw new WrongHello('more than a ClientHello was sent')
  return length === whole
}

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

/** Read one after the other; what does not fit is refused. */
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

  /** Bytes with their number before them, which has `prefix` bytes. */
  block(prefix: number): Buffer {
    return this.take(this.number(prefix))
  }

  end(): void {
    if (!this.isAtEnd) throw new WrongHello(BROKEN)
  }
}
