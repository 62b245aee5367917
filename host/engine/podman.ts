import type { IncomingMessage } from 'node:http'
import type Dockerode from 'dockerode'
import { podmanProfileFile } from '../package-root.ts'
import { engineRequest, statusOf } from './engine-request.ts'
import type { containerOptions } from './sandbox-policy.ts'

/**
 * Podman is recognised by a header of its answer to `ping`, the cheapest request.
 * @throws CodexboxError `engine-unavailable`
 */
export async function askIfPodman(docker: Dockerode, engineLabel: string): Promise<boolean> {
  try {
    const { headers } = await engineRequest(
      (abortSignal) => pinged(docker, abortSignal),
      engineLabel,
    )
    return headers['libpod-api-version'] !== undefined
  } catch (error) {
    // Podman answers this request, so an error answer comes from another engine.
    if (statusOf(error) !== undefined) return false
    throw error
  }
}

function pinged(docker: Dockerode, abortSignal: AbortSignal): Promise<IncomingMessage> {
  const request = {
    method: 'GET',
    path: '/_ping',
    abortSignal,
    // The client hands out headers with a stream alone.
    isStream: true,
    statusCodes: { 200: true, 404: 'not there', 500: 'server error' },
  }
  return new Promise((resolve, reject) => {
    docker.modem.dial(request, (error: unknown, answer: unknown) => {
      if (error) return reject(error)
      const message = answer as IncomingMessage
      resolve(message.resume())
    })
  })
}

type ContainerOptions = ReturnType<typeof containerOptions>

/**
 * The same container on Podman, without system calls that Podman permits by default and Docker does not. In its own
 * user namespace a tool would have a mount table without the pins of a repository, and a mount point can be
 * renamed where it is not mounted. The kernel shares one keyring among all processes of a user, including the host's.
 * Podman takes the path of a seccomp profile, Docker its text.
 */
export function optionsForPodman(options: ContainerOptions): ContainerOptions {
  const { SecurityOpt = [] } = options.HostConfig
  const hostConfig = {
    ...options.HostConfig,
    SecurityOpt: [...SecurityOpt, `seccomp=${podmanProfileFile}`],
  }
  return { ...options, HostConfig: hostConfig }
}
