import { isIP, type Socket } from 'node:net'
import { ClientHelloReader } from './client-hello.ts'

/** It comes in one or two; who sends it byte by byte has something else in mind. */
const MAX_CHUNKS = 100

/** `bytes` are the hello. */
export type HelloRead = { bytes: Buffer } | { wrong: string }

export interface HelloOptions {
  /** What comes before all else that the client says. */
  head?: Buffer
  host: string
  ms: number
  /** Whether the server has asked for another. */
  isSecond?: boolean
}

/**
 * Reads from a client until it has begun a TLS connection with `host` and no other name, or is known not to.
 * Leaves it paused, with what it has said beyond that still to be read. Never rejects.
 */
export function readHello(
  client: Socket,
  { head = Buffer.alloc(0), host, ms, isSecond = false }: HelloOptions,
): Promise<HelloRead> {
  return new Promise((resolve) => {
    const reader = new ClientHelloReader({ isSecond })
    const chunks: Buffer[] = []
    const settle = (read: HelloRead) => {
      clearTimeout(late)
      client.off('data', take)
      client.off('close', leave)
      client.pause()
      resolve(read)
    }
    const take = (chunk: Buffer) => {
      chunks.push(chunk)
      const hello = reader.read(chunk)
      if (hello.status === 'refused') settle({ wrong: hello.why })
      else if (hello.status === 'more') {
        if (chunks.length > MAX_CHUNKS) settle({ wrong: 'its ClientHello comes in crumbs' })
      } else if (isMeant(hello.serverName, host)) {
        const bytes = Buffer.concat(chunks)
        settle({ bytes: bytes.subarray(0, hello.end) })
        if (bytes.length > hello.end) client.unshift(bytes.subarray(hello.end))
      } else settle({ wrong: `it is a tunnel to ${host}, and TLS in it is for another name` })
    }
    const leave = () => settle({ wrong: 'the client sent no TLS hello in it' })
    const late = setTimeout(leave, ms)
    client.on('data', take)
    client.once('close', leave)
    client.resume()
    if (head.length > 0) take(head)
  })
}

/** An address has no server name. */
function isMeant(serverName: string | undefined, host: string): boolean {
  return isIP(host) ? serverName === undefined : serverName?.toLowerCase() === host
}
