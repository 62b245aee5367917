import { isIP, type Socket } from 'node:net'
import { readClientHello } from './client-hello.ts'

/** It comes in one or two; who sends it byte by byte has something else in mind. */
const MAX_CHUNKS = 100

/** `bytes` are what was read for it. */
export type FirstHello = { bytes: Buffer } | { wrong: string }

/**
 * Reads from a client, `head` before all else, until it has begun a TLS connection with `host` and
 * nobody else, or is known not to. Leaves it paused. Never rejects.
 */
export function firstHello(
  client: Socket,
  { head, host, ms }: { head: Buffer; host: string; ms: number },
): Promise<FirstHello> {
  return new Promise((resolve) => {
    const chunks = head.length > 0 ? [head] : []
    const settle = (first: FirstHello) => {
      clearTimeout(late)
      client.off('data', take)
      client.off('close', leave)
      client.pause()
      resolve(first)
    }
    const look = () => {
      const bytes = Buffer.concat(chunks)
      const hello = readClientHello(bytes)
      if (hello.status === 'refused') settle({ wrong: hello.why })
      else if (hello.status === 'more') {
        if (chunks.length > MAX_CHUNKS) settle({ wrong: 'its ClientHello comes in crumbs' })
      } else if (isMeant(hello.serverName, host)) settle({ bytes })
      else settle({ wrong: `it is a tunnel to ${host}, and TLS in it is for another name` })
    }
    const take = (chunk: Buffer) => {
      chunks.push(chunk)
      look()
    }
    const leave = () => settle({ wrong: 'nobody began to talk in it' })
    const late = setTimeout(leave, ms)
    client.on('data', take)
    client.once('close', leave)
    if (head.length > 0) look()
  })
}

/** An address has no server name. */
function isMeant(serverName: string | undefined, host: string): boolean {
  return isIP(host) ? serverName === undefined : serverName?.toLowerCase() === host
}
