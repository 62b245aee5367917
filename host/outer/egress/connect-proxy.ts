import { chmod } from 'node:fs/promises'
import http from 'node:http'
import type { Socket } from 'node:net'
import { allowedHosts } from '../../net/allowed-hosts.ts'
import { Connections } from '../../net/connections.ts'
import { type EgressOptions, LIMITS, Tunnels } from './tunnels.ts'

export interface Egress {
  /** Ends all tunnels. */
  close(): Promise<void>
}

/**
 * The egress proxy of a container without a network: a unix socket that opens tunnels (CONNECT, RFC 9110,
 * 9.3.6) to the listed hosts on port 443, and to nothing else. A tunnel carries TLS with that very host, or is
 * closed; nothing is decrypted. The proxy resolves the name, requires all its addresses to be public, and
 * connects to one of these addresses: a later change of the name has no effect.
 * @throws CodexboxError `config-invalid` when `allow` is no list of hosts; Error when `socketPath` cannot be
 * listened on.
 */
export async function openEgress(socketPath: string, options: EgressOptions): Promise<Egress> {
  const limits = { ...LIMITS, ...options.limits }
  const tunnels = new Tunnels(allowedHosts(options.allow), limits, options)
  const server = http.createServer({ maxHeaderSize: 8192 }, (request, response) =>
    tunnels.turnAway(request, response),
  )
  const connections = new Connections(server, {
    connections: limits.connections,
    unusedMs: limits.stepMs,
  })
  server.on('connect', (request: http.IncomingMessage, client: Socket, head: Buffer) => {
    connections.use(client, () => !tunnels.hasDismissed(client))
    void tunnels.open(request, client, head)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socketPath, resolve)
  })
  // The tools run as another user; the permissions of the parent folder restrict access.
  await chmod(socketPath, 0o666)

  return {
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      connections.destroyAll()
      await closed
    },
  }
}
