import type { Duplex } from 'node:stream'
import type Dockerode from 'dockerode'
import { hijack } from './hijack.ts'

/** The container's stdin, stdout and stderr as one stream. Rejects like every request. */
export function attach(
  docker: Dockerode,
  containerId: string,
  abortSignal: AbortSignal,
): Promise<Duplex> {
  const query = { stream: true, stdin: true, stdout: true, stderr: true }
  return hijack(docker, { path: `/containers/${containerId}/attach?`, query }, abortSignal)
}
