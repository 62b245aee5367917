import { createHash } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { RecordedExchange } from '../../test/conformance/replay.ts'

export interface WebSocketAnswers {
  /** The client's messages, parsed. */
  readonly seen: unknown[]
  /** Takes over the socket of an upgrade (RFC 6455). */
  take(socket: Duplex, key: string): undefined
}

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** The service's side of a WebSocket: answers each message with the next exchange. */
export function webSocketAnswers(exchanges: readonly RecordedExchange[]): WebSocketAnswers {
  const queue = [...exchanges]
  const seen: unknown[] = []

  const onMessage = (text: string, send: (event: unknown) => void) => {
    const message = JSON.parse(text) as { generate?: boolean }
    seen.push(message)
    // A message before the first turn warms up the connection; the response is empty.
    if (message.generate === false) {
      const response = { id: 'resp_warm', object: 'response', status: 'completed' }
      send({ type: 'response.created', response })
      return send({ type: 'response.completed', response })
    }
    const { status = 200, events, body, headers } = queue.shift() ?? {}
    if (events) for (const event of events) send(event)
    else send({ type: 'error', status, ...(body as object), ...(headers ? { headers } : {}) })
  }

  return {
    seen,
    take: (socket, key) => {
      const accept = createHash('sha1')
        .update(key + GUID)
        .digest('base64')
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n' +
          `sec-websocket-accept: ${accept}\r\n\r\n`,
      )
      let unread = Buffer.alloc(0)
      let text = ''
      socket.on('data', (chunk: Buffer) => {
        unread = Buffer.concat([unread, chunk])
        for (let frame = readFrame(unread); frame; frame = readFrame(unread)) {
          unread = unread.subarray(frame.length)
          if (frame.opcode === 8) return void socket.end(frameOf(8, frame.payload))
          if (frame.opcode === 9) socket.write(frameOf(10, frame.payload))
          if (frame.opcode > 2) continue
          text += frame.payload.toString()
          if (!frame.isFinal) continue
          const message = text
          text = ''
          onMessage(message, (event) =>
            socket.write(frameOf(1, Buffer.from(JSON.stringify(event)))),
          )
        }
        return undefined
      })
    },
  }
}

function readFrame(bytes: Buffer) {
  if (bytes.length < 2) return undefined
  const [first = 0, second = 0] = bytes
  const short = second & 0x7f
  const extra = short === 127 ? 8 : short === 126 ? 2 : 0
  const begin = 2 + extra + 4
  if (bytes.length < begin) return undefined
  const size =
    extra === 8 ? Number(bytes.readBigUInt64BE(2)) : extra === 2 ? bytes.readUInt16BE(2) : short
  if (bytes.length < begin + size) return undefined
  const mask = bytes.subarray(2 + extra, begin)
  const payload = Buffer.from(bytes.subarray(begin, begin + size))
  for (let at = 0; at < size; at++) payload[at] = (payload[at] ?? 0) ^ (mask[at % 4] ?? 0)
  return { opcode: first & 0x0f, isFinal: (first & 0x80) !== 0, payload, length: begin + size }
}

function frameOf(opcode: number, payload: Buffer): Buffer {
  const { length } = payload
  const size =
    length < 126 ? [length] : length < 65_536 ? [126, length >> 8, length & 0xff] : undefined
  const head = Buffer.from([0x80 | opcode, ...(size ?? [127, 0, 0, 0, 0, 0, 0, 0, 0])])
  if (!size) head.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([head, payload])
}
