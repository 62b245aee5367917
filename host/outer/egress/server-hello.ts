import type { Socket } from 'node:net'
import { RECORD, RecordError, RecordReader } from './tls-records.ts'

const SERVER_HELLO = 2

/** The `random` of a HelloRetryRequest (RFC 8446, 4.1.3). */
const RETRY = Buffer.from('cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c', 'hex')

/** Kind and length of the message, and the version. */
const RANDOM_AT = 6

/**
 * Whether a server's first bytes, in chunks of any size, are a HelloRetryRequest: then the server name in the
 * second ClientHello decides which site answers. Buffers only the bytes that it needs.
 */
export class ServerHelloReader {
  readonly #records = new RecordReader()
  readonly #message = Buffer.alloc(RANDOM_AT + RETRY.length)
  #length = 0

  /** Takes the next bytes. Undefined while they are too few. @throws RecordError when they are no ServerHello */
  read(chunk: Buffer): boolean | undefined {
    for (const { kind, bytes } of this.#records.read(chunk)) {
      // Clients ignore both at any position (RFC 8446, 5; RFC 5246, 7.2).
      if (kind === RECORD.changeCipherSpec || kind === RECORD.alert) continue
      if (kind !== RECORD.handshake) throw new RecordError('is no TLS')
      this.#length += bytes.copy(this.#message, this.#length)
      if (this.#message[0] !== SERVER_HELLO) throw new RecordError('is no TLS')
      if (this.#length === this.#message.length)
        return this.#message.subarray(RANDOM_AT).equals(RETRY)
    }
    return undefined
  }
}

/** The same for a socket. `ended`: the server closed it first. Other readers of the socket still get all bytes. */
export function readServerHello(
  server: Socket,
): Promise<'asks again' | 'goes on' | 'ended' | { wrong: string }> {
  return new Promise((resolve) => {
    const reader = new ServerHelloReader()
    const settle = (result: Awaited<ReturnType<typeof readServerHello>>) => {
      server.off('data', onData).off('end', onEnd).off('close', onEnd)
      resolve(result)
    }
    const onData = (chunk: Buffer) => {
      try {
        const asksAgain = reader.read(chunk)
        if (asksAgain !== undefined) settle(asksAgain ? 'asks again' : 'goes on')
      } catch (error) {
        if (!(error instanceof RecordError)) throw error
        settle({ wrong: `what the host answered ${error.message}` })
      }
    }
    const onEnd = () => settle('ended')
    server.on('data', onData).once('end', onEnd).once('close', onEnd)
  })
}
