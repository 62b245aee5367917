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
 * The way out of a container without a network: a proxy on a unix socket that opens tunnels (CONNECT,
 * RFC 9110, 9.3.6) to the listed hosts, port 443, and to nothing else. In a tunnel there is TLS with that
 * very host, or its end; what they say to each other is theirs: nothing is decrypted. A name is looked up here, all its addresses have to be public,
 * and the connection goes to one of those that were looked at, whatever the name leads to a moment later.
 * @throws CodexboxError `config-invalid` when `allow` is no list of hosts; Error when nothing can listen at
 * `socketPath`.
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
  // The tools are another user than we are; who may come near it is a matter of the folder above.
  await chmod(socketPath, 0o666)

  return {
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      connections.destroyAll()
      await closed
    },
  }
}
