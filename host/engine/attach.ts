import type { Duplex } from 'node:stream'
import type Dockerode from 'dockerode'

/**
 * The container's stdin, stdout and stderr as one stream. Rejects like any other request.
 *
 * Asked without a body, unlike by the client's own method: Podman takes what follows the header for
 * the first of the container's stdin.
 */
export function attach(
  docker: Dockerode,
  containerId: string,
  abortSignal: AbortSignal,
): Promise<Duplex> {
  const request = {
    method: 'POST',
    path: `/containers/${containerId}/attach?`,
    options: { stream: true, stdin: true, stdout: true, stderr: true },
    // In the place of the options, which would be the body. Of a known length, since one that is sent
    // in chunks has a last chunk, which is a body too.
    file: Buffer.alloc(0),
    abortSignal,
    isStream: true,
    hijack: true,
    statusCodes: { 200: true, 404: 'no such container', 500: 'server error' },
  }
  return new Promise((resolve, reject) => {
    docker.modem.dial(request, (error: unknown, stream: unknown) => {
      if (error) reject(error)
      else resolve(stream as Duplex)
    })
  })
}
