import { once } from 'node:events'
import { createServer } from 'node:net'
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
  for (const [place, name] of names.entries()) {
    const server = createServer({ allowHalfOpen: true }, (client) =>
      multiplexer.open(place, client),
    )
    await once(server.listen(socketAddress(join(folder, name))), 'listening')
  }
}
