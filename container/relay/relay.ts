import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { FrameError } from '../../shared/frames.ts'
import { Multiplexer } from '../../shared/multiplexer.ts'
import { socketAddress } from '../../shared/socket-address.ts'

/**
 * Replaces the host's sockets where they cannot be mounted: listens at sockets of the same `names` in
 * `folder`, and passes each connection over stdin and stdout to the host, which connects it to its own
 * socket. Resolves with the exit code when stdin ends, because the host is gone.
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
  for (const [index, name] of names.entries()) {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
      multiplexer.open(index, client)
      if (multiplexer.unopened > MANY) sleepNow(SLOW_MS)
    })
    await once(server.listen(socketAddress(join(folder, name))), 'listening')
    servers.push(server)
  }
  await holdSockets(servers)
}

/**
 * Above this many, connections arrive faster than the host takes them. They should wait in the kernel's queue,
 * where a client gets EAGAIN when it is full. But Node accepts them all, one in each turn of its event loop; so
 * each turn is slowed down.
 */
const MANY = 64
const SLOW_MS = 5

/** Blocks the whole process. */
function sleepNow(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/**
 * Starts a second process that holds the sockets and needs hardly any memory. Tools may use up the memory until
 * the kernel kills this process. If the sockets closed then, a tool could take their name, and get the agent's next
 * request.
 */
async function holdSockets(servers: readonly Server[]): Promise<void> {
  const holder = spawn('sleep', ['infinity'], {
    stdio: ['ignore', 'ignore', 'ignore', ...servers.map(descriptorOf)],
  })
  await once(holder, 'spawn')
  holder.unref()
}

/** Node has no public API for it. */
function descriptorOf(server: Server): number {
  return (server as unknown as { _handle: { fd: number } })._handle.fd
}
