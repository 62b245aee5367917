/**
 * The frames between the two ends of a multiplexed stream. `ready`: the other end can be used. `open`: a
 * new connection, to the socket with that index. `data`: bytes of a connection. `end`: no more data in
 * this direction. `reset`: the connection is gone. `credit`: that much more may be sent.
 */
const KINDS = ['ready', 'open', 'data', 'end', 'reset', 'credit'] as const

export interface Frame {
  kind: (typeof KINDS)[number]
  connection: number
  /** Of `open` the socket's index, of `data` the length, of `credit` the amount; otherwise 0. */
  value: number
  /** Empty except for `data`. Keeps no larger buffer alive. */
  payload: Buffer
}

/** Kind (1 byte), connection (4) and value (4), big-endian. */
const HEAD_BYTES = 9

export const MAX_PAYLOAD = 64 * 1024

/** The other end broke the protocol; its later frames cannot be trusted. */
export class FrameError extends Error {
  override readonly name = 'FrameError'
}

const NOTHING = Buffer.alloc(0)

/** The head of a frame; its payload follows. */
export function frameHead(kind: Frame['kind'], connection: number, value: number): Buffer {
  const head = Buffer.allocUnsafe(HEAD_BYTES)
  head[0] = KINDS.indexOf(kind)
  head.writeUInt32BE(connection, 1)
  head.writeUInt32BE(value, 5)
  return head
}

/** Parses the frames of a byte stream in chunks of any size. Buffers one frame at most. */
export class FrameReader {
  readonly #head = Buffer.alloc(HEAD_BYTES)
  #headBytes = 0
  /** The frame whose payload is incomplete. */
  #partial: Frame | undefined
  #payloadBytes = 0

  /** @throws FrameError, and what `take` throws */
  read(chunk: Buffer, take: (frame: Frame) => void): void {
    let rest = chunk
    while (rest.length > 0)
      rest = this.#partial ? this.#readPayload(rest, take) : this.#readHead(rest, take)
  }

  #readHead(bytes: Buffer, take: (frame: Frame) => void): Buffer {
    const taken = bytes.copy(this.#head, this.#headBytes)
    this.#headBytes += taken
    const rest = bytes.subarray(taken)
    if (this.#headBytes < HEAD_BYTES) return rest
    this.#headBytes = 0
    const frame = parseHead(this.#head)
    if (frame.kind === 'data' && rest.length < frame.value) {
      this.#partial = { ...frame, payload: Buffer.allocUnsafeSlow(frame.value) }
      return rest
    }
    const length = frame.kind === 'data' ? frame.value : 0
    take(length > 0 ? { ...frame, payload: ownBytes(rest.subarray(0, length)) } : frame)
    return rest.subarray(length)
  }

  #readPayload(bytes: Buffer, take: (frame: Frame) => void): Buffer {
    const frame = this.#partial as Frame
    const taken = bytes.copy(frame.payload, this.#payloadBytes)
    this.#payloadBytes += taken
    if (this.#payloadBytes === frame.value) {
      this.#partial = undefined
      this.#payloadBytes = 0
      take(frame)
    }
    return bytes.subarray(taken)
  }
}

function parseHead(head: Buffer): Frame {
  const kind = KINDS[head.readUInt8(0)]
  const connection = head.readUInt32BE(1)
  const value = head.readUInt32BE(5)
  if (!kind) throw new FrameError(`a frame of the unknown kind ${head[0]}`)
  if (kind === 'data' && (value === 0 || value > MAX_PAYLOAD)) {
    throw new FrameError(`a frame with ${value} bytes of data`)
  }
  return { kind, connection, value, payload: NOTHING }
}

/** A small part of a chunk would keep the whole chunk in memory, so it is copied. */
function ownBytes(part: Buffer): Buffer {
  if (part.length * 2 >= part.buffer.byteLength) return part
  const own = Buffer.allocUnsafeSlow(part.length)
  part.copy(own)
  return own
}
