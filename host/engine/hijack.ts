import type { Duplex } from 'node:stream'
import type Dockerode from 'dockerode'

/**
 * A request of the engine whose connection becomes the stdin, stdout and stderr of a process. Rejects
 * like any other request. The path ends with `?` where `query` is to follow.
 *
 * The body is of a known length, unlike by the client's own methods: Podman takes what follows it, which
 * with one that is sent in chunks is the last chunk, for the first of the process's stdin.
 *
 * A connection that breaks ends the stream, whether or not it is read by then.
 */
export function hijack(
  docker: Dockerode,
  { path, query = {}, body = '' }: { path: string; query?: object; body?: string },
  abortSignal: AbortSignal,
): Promise<Duplex> {
  const request = {
    method: 'POST',
    path,
    options: query,
    headers: { 'Content-Type': 'application/json' },
    // In the place of the options, which would be the body.
    file: Buffer.from(body),
    abortSignal,
    isStream: true,
    hijack: true,
    statusCodes: { 200: true, 404: 'not there', 409: 'it does not run', 500: 'server error' },
  }
  return new Promise((resolve, reject) => {
    docker.modem.dial(request, (error: unknown, stream: unknown) => {
      if (error) reject(error)
      else resolve(heard(stream as Duplex))
    })
  })
}

/** An error that nobody listens for ends this process. */
const heard = (stream: Duplex) => stream.on('error', () => stream.destroy())
