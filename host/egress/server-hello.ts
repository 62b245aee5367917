import type { Socket } from 'node:net'

const HANDSHAKE_RECORD = 22
const SERVER_HELLO = 2

/** What stands in the place of the random (RFC 8446, 4.1.3). */
const RETRY = Buffer.from('cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c', 'hex')

/** Type and length of the message, and the version. */
const RANDOM_AT = 6

/**
 * Whether a server's first words ask for another ClientHello (HelloRetryRequest): then the name in that one
 * decides who answers. Undefined while it is not known.
 */
export function asksForAnotherHello(bytes: Buffer): boolean | undefined {
  const pieces: Buffer[] = []
  let length = 0
  for (let at = 0; length < RANDOM_AT + RETRY.length; ) {
    if (at === bytes.length) return undefined
    if (bytes[at] !== HANDSHAKE_RECORD) return false
    if (at + 5 > bytes.length) return undefined
    const end = at + 5 + bytes.readUInt16BE(at + 3)
    const piece = bytes.subarray(at + 5, end)
    pieces.push(piece)
    length += piece.length
    at = Math.min(end, bytes.length)
  }
  const message = Buffer.concat(pieces)
  if (message[0] !== SERVER_HELLO) return false
  return message.subarray(RANDOM_AT, RANDOM_AT + RETRY.length).equals(RETRY)
}

/** The same of a server that begins to speak; false also when it does not. Takes nothing from who reads it. */
export function whetherItAsksAgain(server: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    let bytes = Buffer.alloc(0)
    const settle = (asks: boolean) => {
      server.off('data', take).off('end', leave).off('close', leave)
      resolve(asks)
    }
    const take = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      const asks = asksForAnotherHello(bytes)
      if (asks !== undefined) settle(asks)
    }
    const leave = () => settle(false)
    server.on('data', take).once('end', leave).once('close', leave)
  })
}
