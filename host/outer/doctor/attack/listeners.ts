import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer, type ListenOptions, type Server } from 'node:net'
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os'

export interface Listeners {
  /** The attempt that each listener is for, and its address. */
  places: { id: string; host: string; port: number }[]
  abstractSocket: string | undefined
  /** The attempts that reached a listener: observed by the host, since tools may misreport. */
  readonly reached: ReadonlySet<string>
  close(): Promise<void>
}

/** Listens on every address of this machine; a container should reach none of them. */
export async function openListeners(): Promise<Listeners> {
  const reached = new Set<string>()
  const servers: Server[] = []
  const listen = async (id: string, options: ListenOptions): Promise<Server | undefined> => {
    const server = createServer((socket) => {
      reached.add(id)
      socket.destroy()
    })
    try {
      server.listen(options)
      await once(server, 'listening')
      servers.push(server)
      return server
    } catch {
      return undefined // An address that cannot be bound is not this machine's.
    }
  }
  const places: Listeners['places'] = []
  for (const { id, host } of ownAddresses()) {
    const server = await listen(id, { host, port: 0 })
    if (server) places.push({ id, host, port: (server.address() as AddressInfo).port })
  }
  // Abstract sockets exist on Linux only.
  const name = `codexbox-${randomBytes(8).toString('hex')}`
  const abstract =
    process.platform === 'linux' ? await listen('N6', { path: `\0${name}` }) : undefined
  return {
    places,
    abstractSocket: abstract && name,
    reached,
    async close() {
      await Promise.all(servers.map((server) => new Promise((done) => server.close(done))))
    },
  }
}

function ownAddresses(): { id: string; host: string }[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  return all.filter(hasNoScope).map(({ address, family, internal }) => ({
    id: internal ? 'N3' : family === 'IPv4' ? 'N1' : 'N2',
    host: address,
  }))
}

/** A link-local address is meaningless without its interface. */
const hasNoScope = (info: NetworkInterfaceInfo) => info.family === 'IPv4' || info.scopeid === 0
