import type Dockerode from 'dockerode'
import { podmanProfileFile } from '../package-root.ts'
import { askEngine, statusOf } from './ask-engine.ts'
import type { containerOptions } from './container-options.ts'

/** @throws CodexboxError `engine-unavailable` */
export async function askIfPodman(docker: Dockerode, where: string): Promise<boolean> {
  const client = docker as unknown as {
    version(options: object): Promise<{ Components?: { Name: string }[] | null }>
  }
  try {
    const { Components } = await askEngine((abortSignal) => client.version({ abortSignal }), where)
    return Components?.some(({ Name }) => /podman/i.test(Name)) ?? false
  } catch (error) {
    // Podman knows the question.
    if (statusOf(error) !== undefined) return false
    throw error
  }
}

type ContainerOptions = ReturnType<typeof containerOptions>

/**
 * The same container on Podman, without system calls that it lets through by itself and Docker does not. In a user
 * namespace of its own a tool would have a table of mounts without those that pin a repository, and a mount point can be
 * renamed where it is not mounted. And the kernel keeps one ring of keys for all processes of a user, the host's among them.
 * Podman takes the path of a profile, where Docker would take its text.
 */
export function optionsForPodman(options: ContainerOptions): ContainerOptions {
  const { SecurityOpt = [] } = options.HostConfig
  const hostConfig = {
    ...options.HostConfig,
    SecurityOpt: [...SecurityOpt, `seccomp=${podmanProfileFile}`],
  }
  return { ...options, HostConfig: hostConfig }
}
