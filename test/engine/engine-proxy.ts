import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Transform } from 'node:stream'

/** An engine's socket that can fail. */
export interface EngineProxy {
  readonly socketPath: string
  /** Where it listens as well, on the loopback interface. */
  readonly port: number
  /** As when the engine dies: every connection ends, and no new one is taken. */
  cut(): void
  /** As when the engine hangs: connections stay, and nothing comes any more. */
  freeze(): void
  /** The same, once a request begins like this. Resolves then. */
  freezeAt(request: RegExp): Promise<void>
  /** Puts bytes into the streams of attached containers. */
  inject(bytes: Uint8Array): void
  close(): Promise<void>
}

/**
 * Stands before the engine at `target` and passes everything through, until told otherwise. What attached
 * containers print comes `lagMs` later.
 */
export async function startEngineProxy(target: string, lagMs = 0): Promise<EngineProxy> {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-proxy-'))
  const socketPath = join(folder, 'docker.sock')
  const pairs = new Set<{ client: net.Socket; engine: net.Socket; isAttached: boolean }>()
  let onRequest = (_head: string) => {}

  const pass = (client: net.Socket) => {
    const engine = net.connect({ path: target, allowHalfOpen: true })
    const pair = { client, engine, isAttached: false }
    pairs.add(pair)
    // Not only the first: a connection serves other requests before it becomes a stream.
    engine.on('data', (head) => {
      if (String(head.subarray(0, 12)) === 'HTTP/1.1 101') pair.isAttached = true
    })
    client.on('data', (chunk) => onRequest(chunk.toString('latin1')))
    const lag = new Transform({
      transform(chunk, _, done) {
        if (lagMs > 0 && pair.isAttached) setTimeout(done, lagMs, null, chunk)
        else done(null, chunk)
      },
    })
    client.pipe(engine).pipe(lag).pipe(client)
    const end = () => {
      client.destroy()
      engine.destroy()
      pairs.delete(pair)
    }
    client.once('error', end).once('close', end)
    engine.once('error', end).once('close', end)
  }
  const listener = () => net.createServer({ allowHalfOpen: true }, pass)
  const loopback = listener().listen(0, '127.0.0.1')
  const servers = [listener().listen(socketPath), loopback]
  await Promise.all(servers.map((server) => once(server, 'listening')))

  const cut = () => {
    for (const server of servers) server.close()
    for (const { client, engine } of pairs) {
      // With a reset, an end comes as an error; sockets of this machine know none.
      if (client.remoteAddress) client.resetAndDestroy()
      else client.destroy()
      engine.destroy()
    }
  }
  const freeze = () => {
    for (const server of servers) server.removeAllListeners('connection')
    for (const { client, engine } of pairs) {
      client.unpipe()
      engine.unpipe()
    }
  }
  return {
    socketPath,
    port: (loopback.address() as AddressInfo).port,
    cut,
    freeze,
    freezeAt(request) {
      return new Promise((resolve) => {
        onRequest = (head) => {
          if (!request.test(head)) return
          freeze()
          resolve()
        }
      })
    },
    inject(bytes) {
      for (const { client, isAttached } of pairs) if (isAttached) client.write(bytes)
    },
    async close() {
      cut()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
