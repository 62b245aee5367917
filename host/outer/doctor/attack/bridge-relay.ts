import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type Dockerode from 'dockerode'
import { CodexboxError } from '../../../../shared/errors.ts'

/**
 * Exposes a server of the loopback interface to containers with a network: on this machine's address
 * in the engine's network, and on no other.
 * @throws CodexboxError `engine-unavailable` when the engine's network is not on this machine
 */
export async function openBridgeRelay(docker: Dockerode, url: URL) {
  const host = await bridgeAddress(docker)
  const open = new Set<Socket>()
  const server = createServer((inner) => {
    const outer = connect(Number(url.port), url.hostname)
    for (const [socket, other] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      open.add(socket)
      socket.once('close', () => {
        open.delete(socket)
        other.destroy()
      })
      socket.on('error', () => {}) // `close` follows.
      socket.pipe(other)
    }
  })
  try {
    server.listen(0, host)
    await once(server, 'listening')
  } catch (error) {
    throw notHere(error)
  }
  const published = new URL(url)
  published.host = `${host}:${(server.address() as AddressInfo).port}`
  return {
    url: published,
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of open) socket.destroy()
      await closed
    },
  }
}

/** The engine's machine, as containers on its default network address it. */
export async function bridgeAddress(docker: Dockerode): Promise<string> {
  const { IPAM } = await docker.getNetwork('bridge').inspect()
  // An engine that found an existing bridge does not report the gateway.
  const addresses = IPAM?.Config?.map(({ Gateway, Subnet }) => Gateway ?? firstOf(Subnet))
  const address = addresses?.find((candidate) => candidate?.includes('.'))
  if (!address) throw notHere()
  return address
}

/** The first address of an IPv4 subnet, which an engine takes for itself. */
function firstOf(subnet: string | undefined): string | undefined {
  return /^(\d+\.\d+\.\d+\.)0\//.exec(subnet ?? '')?.[1]?.concat('1')
}

function notHere(cause?: unknown): CodexboxError {
  return new CodexboxError(
    'engine-unavailable',
    "AGENT_CREDENTIALS=direct cannot be attacked here: the engine's network is not on this machine. Try sealed.",
    { cause },
  )
}
