import type { Duplex } from 'node:stream'
import type Dockerode from 'dockerode'

/**
 * A request to the engine whose connection becomes the stdin, stdout and stderr of a process. Rejects
 * like every request. The path ends with `?` when `query` follows.
 *
 * The body has a known length, unlike with the client's own methods: Podman takes the bytes after it for the
 * start of the process's stdin, and after a chunked body those are the last chunk.
 *
 * A broken connection ends the stream, whether or not it is being read.
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
    // Replaces the options, which would become the body.
    file: Buffer.from(body),
    abortSignal,
    isStream: true,
    hijack: true,
    statusCodes: { 200: true, 404: 'not there', 409: 'it does not run', 500: 'server error' },
  }
  return new Promise((resolve, reject) => {
    docker.modem.dial(request, (error: unknown, stream: unknown) => {
      if (error) reject(error)
      else resolve(destroyOnError(stream as Duplex))
    })
  })
}

/** An error event without a listener would end this process. */
const destroyOnError = (stream: Duplex) => stream.on('error', () => stream.destroy())
