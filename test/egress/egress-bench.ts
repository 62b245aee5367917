import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net, { type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import tls from 'node:tls'
import { openEgress } from '../../host/outer/egress/connect-proxy.ts'
import type { Dialer, EgressLimits, TunnelRecord } from '../../host/outer/egress/tunnels.ts'

/** The name in the certificate of the test's server. */
export const SERVICE = 'service.test'

const fixture = (name: string) => readFileSync(new URL(`../fixtures/net/${name}`, import.meta.url))
export const certificate = fixture('certificate.pem')

export interface EgressBench {
  socketPath: string
  /** Of the https server. */
  port: number
  /** What was asked of the https server, by path. */
  served: string[]
  /** What the host was told. */
  targets: TunnelRecord[]
  /** Names that were looked up. */
  lookups: string[]
  /** Replaces what names lead to. */
  resolve: (host: string) => Promise<string[]>
  /** The answer to a CONNECT: its status line, and all of it when there is no tunnel. */
  ask(request: string): Promise<{ status: number; text: string; client: Socket }>
  /** What the server answers to a GET through a tunnel. */
  get(path: string, host?: string): Promise<string>
  /** Resolves when the host has been told of that many targets. */
  told(count: number): Promise<void>
  close(): Promise<void>
}

/**
 * A proxy and an https server on this machine. All names lead to that server, and 127.0.0.1 is let
 * through, which the real policy would not do.
 */
export async function openEgressBench({
  allow = [SERVICE],
  folder,
  way,
  limits,
  tlsOptions,
}: {
  allow?: string[]
  /** Where the socket goes. Default: a new folder. */
  folder?: string
  way?: Partial<Dialer>
  limits?: Partial<EgressLimits>
  /** Of the https server. */
  tlsOptions?: tls.TlsOptions
} = {}): Promise<EgressBench> {
  const own = mkdtempSync(join(tmpdir(), 'codexbox-egress-'))
  const socketPath = join(folder ?? own, 'egress.sock')
  const served: string[] = []
  const server = https.createServer(
    { key: fixture('key.pem'), cert: certificate, ...tlsOptions },
    (request, response) => {
      served.push(request.url ?? '')
      response.end(`served ${request.url}`)
    },
  )
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  const targets: TunnelRecord[] = []
  const lookups: string[] = []
  let waiting: (() => void)[] = []
  const bench: EgressBench = {
    socketPath,
    port,
    served,
    targets,
    lookups,
    resolve: async () => ['127.0.0.1'],
    ask: (request) => ask(socketPath, request),
    get: (path, host = SERVICE) => getThrough(socketPath, host, path),
    async told(count) {
      while (targets.length < count) await new Promise<void>((resolve) => waiting.push(resolve))
    },
    async close() {
      await egress.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      rmSync(own, { recursive: true, force: true })
    },
  }
  const egress = await openEgress(socketPath, {
    allow,
    onTarget: (target) => {
      targets.push(target)
      for (const wake of waiting.splice(0)) wake()
      waiting = []
    },
    way: {
      resolve: (host) => {
        lookups.push(host)
        return bench.resolve(host)
      },
      refusal: (address) => (address === '127.0.0.1' ? undefined : 'not of the test'),
      port,
      ...way,
    },
    ...(limits ? { limits } : {}),
  })
  return bench
}

/** What a real client says first in a TLS connection. */
export function realHello(options: tls.ConnectionOptions): Promise<Buffer> {
  return new Promise((resolve) => {
    const wire = new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        resolve(chunk)
        done()
      },
    })
    tls.connect({ socket: wire, ...options }).on('error', () => {})
  })
}

/** Writes `request` as it is and reads until the head of an answer, or to the end of a refusal. */
async function ask(socketPath: string, request: string) {
  const client = net.connect(socketPath)
  client.on('error', () => {})
  client.write(request, 'latin1')
  let text = ''
  try {
    for await (const chunk of client.iterator({ destroyOnReturn: false })) {
      text += chunk
      if (/^HTTP\/1\.1 200 .*\r\n\r\n/s.test(text)) break
    }
  } catch {
    // Cut off with a part of the request unread; the answer may have come before that, or not at all.
  }
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0), text, client }
}

async function getThrough(socketPath: string, host: string, path: string): Promise<string> {
  const connecting = http.request({ socketPath, method: 'CONNECT', path: `${host}:443` })
  connecting.end()
  const answer = await new Promise<{ status: number | undefined; socket: Socket }>(
    (resolve, reject) => {
      connecting.once('error', reject)
      connecting.once('connect', ({ statusCode }, socket) => {
        resolve({ status: statusCode, socket: socket as Socket })
      })
    },
  )
  if (answer.status !== 200) {
    answer.socket.destroy()
    return `no tunnel: ${answer.status}`
  }
  const secure = tls.connect({ socket: answer.socket, servername: SERVICE, ca: certificate })
  secure.end(`GET ${path} HTTP/1.1\r\nhost: ${SERVICE}\r\nconnection: close\r\n\r\n`)
  let text = ''
  for await (const chunk of secure) text += chunk
  return text.split('\r\n\r\n')[1] ?? ''
}
