import { isIP, type Socket } from 'node:net'
import { ClientHelloReader } from './client-hello.ts'

/** A ClientHello usually takes one or two chunks; a client that sends single bytes is suspect. */
const MAX_CHUNKS = 100

/** `bytes`: the ClientHello. `wrong`: why it is refused. */
export type HelloRead = { bytes: Buffer } | { wrong: string }

export interface HelloOptions {
  /** Bytes already read from the client. */
  head?: Buffer
  host: string
  ms: number
  /** Whether the server sent a HelloRetryRequest. */
  isSecond?: boolean
}

/**
 * Reads a client's ClientHello and requires `host` as its server name. Leaves the client paused, with the bytes
 * after the ClientHello still to be read. Never rejects.
 */
export function readHello(
  client: Socket,
  { head = Buffer.alloc(0), host, ms, isSecond = false }: HelloOptions,
): Promise<HelloRead> {
  return new Promise((resolve) => {
    const reader = new ClientHelloReader({ isSecond })
    const chunks: Buffer[] = []
    const settle = (result: HelloRead) => {
      clearTimeout(timer)
      client.off('data', onData)
      client.off('close', onEnd)
      client.pause()
      resolve(result)
    }
    const onData = (chunk: Buffer) => {
      chunks.push(chunk)
      const hello = reader.read(chunk)
      if (hello.status === 'refused') settle({ wrong: hello.why })
      else if (hello.status === 'more') {
        if (chunks.length > MAX_CHUNKS) settle({ wrong: 'its ClientHello comes in crumbs' })
      } else if (isFor(hello.serverName, host)) {
        const bytes = Buffer.concat(chunks)
        settle({ bytes: bytes.subarray(0, hello.end) })
        if (bytes.length > hello.end) client.unshift(bytes.subarray(hello.end))
      } else settle({ wrong: `it is a tunnel to ${host}, and TLS in it is for another name` })
    }
    const onEnd = () => settle({ wrong: 'the client sent no TLS hello in it' })
    const timer = setTimeout(onEnd, ms)
    client.on('data', onData)
    client.once('close', onEnd)
    client.resume()
    if (head.length > 0) onData(head)
  })
}

/** An address has no server name. */
function isFor(serverName: string | undefined, host: string): boolean {
  return isIP(host) ? serverName === undefined : serverName?.toLowerCase() === host
}
