import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { plainBody } from './plain-body.ts'
import { FIXTURES } from './recording.ts'

/** A client's request as sent on the wire. */
export interface WireRequest {
  method: string
  host: string
  /** With the query. */
  path: string
  /** In the order and spelling of the wire. */
  headers: [name: string, value: string][]
  /** Decoded; parsed if it is JSON. */
  body: unknown
  /** Milliseconds of `performance.now()`. */
  at: number
}

export interface Answerer {
  /** Answers a request that is no upgrade. */
  request(received: WireRequest, response: http.ServerResponse): Promise<void>
  /** Takes over the socket of an upgrade, or returns the refusal. */
  upgrade(
    received: WireRequest,
    socket: Duplex,
    key: string,
  ): { status: number; body?: unknown } | undefined
}

export interface LoopbackService {
  /** For HTTPS_PROXY: the proxy answers for every host. */
  readonly proxyUrl: string
  /** All requests, in order. */
  readonly seen: readonly WireRequest[]
  close(): Promise<void>
}

/** The CA certificate of the service's certificates. */
export const AUTHORITY = join(FIXTURES, 'net/service-authority.pem')

/**
 * Stands in for all hosts of the service, on this machine: a proxy that opens no tunnels but answers
 * itself as the requested host. Requests without CONNECT are answered as well, as by a foreign server.
 */
export async function startLoopbackService(answerer: Answerer): Promise<LoopbackService> {
  const seen: WireRequest[] = []
  const sockets = new Set<Socket>()

  const onRequest: http.RequestListener = async (request, response) => {
    try {
      const received = await receive(request)
      seen.push(received)
      await answerer.request(received, response)
    } catch {
      // The client disconnected or sent an unreadable body: the comparison shows it.
      response.destroy()
    }
  }
  const onUpgrade = async (request: http.IncomingMessage, socket: Duplex) => {
    socket.on('error', () => {})
    const received = { ...head(request), body: undefined }
    seen.push(received)
    const refusal = answerer.upgrade(received, socket, request.headers['sec-websocket-key'] ?? '')
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
  const pairs = rawHeaders.flatMap((name, index): WireRequest['headers'] =>
    index % 2 === 0 ? [[name, rawHeaders[index + 1] ?? '']] : [],
  )
  const host = headers.host?.replace(/:443$/, '') ?? ''
  return { method, host, path: url, headers: pairs, at: performance.now() }
}

async function receive(request: http.IncomingMessage): Promise<WireRequest> {
  const wireHead = head(request)
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  const text = plainBody(Buffer.concat(chunks), request.headers['content-encoding'])
  return { ...wireHead, body: parsed(text) }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

export const headerOf = ({ headers }: WireRequest, name: string): string | undefined =>
  headers.find(([key]) => key.toLowerCase() === name)?.[1]
