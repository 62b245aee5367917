import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { plainBody } from './plain-body.ts'
import { FIXTURES } from './recording.ts'

/** A request of the client as it was on the wire. */
export interface Seen {
  method: string
  host: string
  /** With the query. */
  path: string
  /** In the order and spelling of the wire. */
  headers: [name: string, value: string][]
  /** Without its coding; parsed where it is JSON. */
  body: unknown
  /** Milliseconds of `performance.now()`. */
  at: number
}

export interface Answerer {
  /** Answers each request that is no upgrade. */
  request(seen: Seen, response: http.ServerResponse): Promise<void>
  /** Takes the socket of an upgrade, or says how it is refused. */
  upgrade(seen: Seen, socket: Duplex, key: string): { status: number; body?: unknown } | undefined
}

export interface LoopbackService {
  /** For HTTPS_PROXY: every name leads here. */
  readonly proxyUrl: string
  /** Everything that was asked, in its order. */
  readonly seen: readonly Seen[]
  close(): Promise<void>
}

/** The authority that its certificates are of. */
export const AUTHORITY = join(FIXTURES, 'net/service-authority.pem')

/**
 * All hosts of the service at once, on this machine: a proxy that opens no tunnel, but is whatever
 * host is asked for. Without a tunnel it answers as well, as a server of somebody else's.
 */
export async function startLoopbackService(answerer: Answerer): Promise<LoopbackService> {
  const seen: Seen[] = []
  const sockets = new Set<Socket>()

  const onRequest: http.RequestListener = async (request, response) => {
    try {
      const one = await see(request)
      seen.push(one)
      await answerer.request(one, response)
    } catch {
      // The client has left, or sends what cannot be read: the comparison shows it.
      response.destroy()
    }
  }
  const onUpgrade = async (request: http.IncomingMessage, socket: Duplex) => {
    socket.on('error', () => {})
    const one = { ...head(request), body: undefined }
    seen.push(one)
    const refusal = answerer.upgrade(one, socket, request.headers['sec-websocket-key'] ?? '')
    if (!refusal) return
    const body = refusal.body === undefined ? '' : JSON.stringify(refusal.body)
    const fields = ['content-type: application/json', `content-length: ${Buffer.byteLength(body)}`]
    const lines = [`HTTP/1.1 ${refusal.status} No`, ...fields, 'connection: close']
    socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`)
  }
  const tls = https.createServer(
    {
      key: readFileSync(join(FIXTURES, 'net/service-key.pem')),
      cert: readFileSync(join(FIXTURES, 'net/service-certificate.pem')),
    },
    onRequest,
  )
  const proxy = http.createServer(onRequest)
  for (const server of [tls, proxy]) server.on('upgrade', onUpgrade)
  proxy.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  proxy.on('connect', (_request, socket: Socket) => {
    socket.write('HTTP/1.1 200 OK\r\n\r\n')
    tls.emit('connection', socket)
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  return {
    proxyUrl: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    seen,
    close: async () => {
      const closed = once(proxy, 'close')
      proxy.close()
      proxy.closeAllConnections()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

function head({ method = '', url = '', headers, rawHeaders }: http.IncomingMessage) {
  const pairs = rawHeaders.flatMap((name, index): Seen['headers'] =>
    index % 2 === 0 ? [[name, rawHeaders[index + 1] ?? '']] : [],
  )
  const host = headers.host?.replace(/:443$/, '') ?? ''
  return { method, host, path: url, headers: pairs, at: performance.now() }
}

async function see(request: http.IncomingMessage): Promise<Seen> {
  const one = head(request)
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  const text = plainBody(Buffer.concat(chunks), request.headers['content-encoding'])
  return { ...one, body: parsed(text) }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

export const headerOf = ({ headers }: Seen, name: string): string | undefined =>
  headers.find(([key]) => key.toLowerCase() === name)?.[1]
