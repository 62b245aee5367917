import type Dockerode from 'dockerode'
import { createDocker } from '../../../engine/docker-host.ts'
import { type Finding, type Machine, warning } from '../finding.ts'

/** A look at what is in the engine. One that does not answer is told of by its own check, and once. */
export async function withEngine(
  { env }: Pick<Machine, 'env'>,
  look: (docker: Dockerode, source: string) => Promise<Finding>,
): Promise<Finding> {
  let found: ReturnType<typeof createDocker>
  try {
    found = createDocker(env)
    await found.docker.ping()
  } catch {
    return warning('Not looked at, since the engine cannot be used.')
  }
  return look(found.docker, found.source)
}
