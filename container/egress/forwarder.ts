import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { socketAddress } from '../../shared/socket-address.ts'

/**
 * Where a container has no network, its loopback is there all the same: what comes to a port of it goes
 * to the proxy on the host's socket. Resolves with what the tools' environment says of it, when it
 * can be used.
 */
export async function openForwarder(socketPath: string): Promise<Record<string, string>> {
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const proxy = connect({ path: socketAddress(socketPath), allowHalfOpen: true })
    link(client, proxy)
    link(proxy, client)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  return proxyEnvironment((server.address() as AddressInfo).port)
}

function link(from: Socket, to: Socket): void {
  from.pipe(to)
  from.on('error', () => to.destroy())
  from.once('close', () => to.destroySoon())
}

/** Every name in both spellings: programs differ in which they read. */
function proxyEnvironment(port: number): Record<string, string> {
  const proxy = `http://127.0.0.1:${port}`
  const named = {
    https_proxy: proxy,
    // Plain http is refused there, which tells more than a name that cannot be looked up.
    http_proxy: proxy,
    no_proxy: 'localhost,127.0.0.1,::1',
  }
  const inCapitals = Object.entries(named).map(([name, value]) => [name.toUpperCase(), value])
  // Not NODE_USE_ENV_PROXY: with it, every start of some versions of Node writes a warning to stderr.
  return { ...named, ...Object.fromEntries(inCapitals) }
}
