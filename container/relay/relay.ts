import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { FrameError } from '../../shared/frames.ts'
import { Multiplexer } from '../../shared/multiplexer.ts'
import { socketAddress } from '../../shared/socket-address.ts'

/**
 * Where the host's sockets cannot be mounted: listens at sockets of the same `names` in `folder`, and has
 * the host, at the other end of stdin and stdout, connect each connection with its own. Resolves with the
 * exit code when stdin ends, because the host is gone.
 */
export function serveRelay(folder: string, names: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const multiplexer = new Multiplexer({
      output: process.stdout,
      onOpen() {
        throw new FrameError('a connection from the side that opens none')
      },
      onBroken(error) {
        console.error(`The host sent ${error.message}.`)
        resolve(1)
      },
    })
    process.stdin.on('data', (chunk: Buffer) => multiplexer.receive(chunk))
    process.stdin.once('end', () => resolve(0))
    listen(multiplexer, folder, names).then(() => multiplexer.ready(), reject)
  })
}

async function listen(
  multiplexer: Multiplexer,
  folder: string,
  names: readonly string[],
): Promise<void> {
  const servers: Server[] = []
  for (const [place, name] of names.entries()) {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
      multiplexer.open(place, client)
      if (multiplexer.unopened > MANY) sleepNow(SLOW_MS)
    })
    await once(server.listen(socketAddress(join(folder, name))), 'listening')
    servers.push(server)
  }
  await keepNames(servers)
}

/**
 * From here on the connections come faster than they are taken at the other end. They are better off in the
 * kernel's queue, where whoever finds it full is told (EAGAIN), but Node takes them all, one in each turn of its
 * loop; so its turns become slow.
 */
const MANY = 64
const SLOW_MS = 5

/** Holds up all of this process. */
function sleepNow(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/**
 * Has a second process hold the sockets, which needs no memory: tools may bring the kernel to kill this one for
 * want of it, and would have the name, and so the agent's next request, as soon as nobody else has.
 */
async function keepNames(servers: readonly Server[]): Promise<void> {
  const holder = spawn('sleep', ['infinity'], {
    stdio: ['ignore', 'ignore', 'ignore', ...servers.map(descriptorOf)],
  })
  await once(holder, 'spawn')
  holder.unref()
}

/** Node has no public name for it. */
function descriptorOf(server: Server): number {
  return (server as unknown as { _handle: { fd: number } })._handle.fd
}
