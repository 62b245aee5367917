import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { socketAddress } from '../../shared/socket-address.ts'

/**
 * Forwards a loopback port to the proxy on the host's socket: a container without a network still has
 * its loopback. Resolves with the proxy variables for the tools' environment once the port is open.
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

/** Every variable in both spellings: programs read one or the other. */
function proxyEnvironment(port: number): Record<string, string> {
  const proxy = `http://127.0.0.1:${port}`
  const variables = {
    https_proxy: proxy,
    // The proxy refuses plain http, which is a clearer error than a failed name lookup.
    http_proxy: proxy,
    no_proxy: 'localhost,127.0.0.1,::1',
  }
  const inCapitals = Object.entries(variables).map(([name, value]) => [name.toUpperCase(), value])
  // Not NODE_USE_ENV_PROXY: with it, every start of some versions of Node writes a warning to stderr.
  return { ...variables, ...Object.fromEntries(inCapitals) }
}
