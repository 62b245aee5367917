import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'

export interface ConnectProxy {
  /** For HTTPS_PROXY and its like. */
  url: string
  /** What was asked for, as HOST:PORT, in its order. */
  tunnels: string[]
  /** Ends it, and every tunnel. */
  close(): Promise<void>
}

export interface ConnectProxyOptions {
  /** A port of this machine, for every name that is asked for. */
  leadsTo: number
  /** `name:password`, as in an address: whoever does not have it is turned away. */
  credentials?: string
  /** Turns everybody away. */
  status?: number
}

/** A proxy that opens tunnels (RFC 9110, 9.3.6), and nothing else. */
export async function startConnectProxy(options: ConnectProxyOptions): Promise<ConnectProxy> {
  const { leadsTo, credentials, status } = options
  const tunnels: string[] = []
  const sockets = new Set<Socket>()
  const pair = decodeURIComponent(credentials ?? '')
  const wanted = pair && `Basic ${Buffer.from(pair).toString('base64')}`
  const server = createServer((_, response) => response.writeHead(405).end())
  server.on('connect', (request, client: Socket, head) => {
    tunnels.push(request.url ?? '')
    sockets.add(client)
    client.on('error', () => {})
    const isKnown = !wanted || request.headers['proxy-authorization'] === wanted
    const refusal = status ?? (isKnown ? undefined : 407)
    if (refusal) return client.end(`HTTP/1.1 ${refusal} No\r\ncontent-length: 0\r\n\r\n`)
    const target = connect(leadsTo, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n')
      target.write(head)
      client.pipe(target).pipe(client)
    })
    sockets.add(target)
    target.on('error', () => client.destroy())
    client.on('close', () => target.destroy())
    return undefined
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://${credentials ? `${credentials}@` : ''}127.0.0.1:${(server.address() as AddressInfo).port}`,
    tunnels,
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      server.closeAllConnections()
      await closed
    },
  }
}
