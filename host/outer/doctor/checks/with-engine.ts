import type Dockerode from 'dockerode'
import { createDocker } from '../../../engine/docker-host.ts'
import { type Finding, type Machine, warning } from '../finding.ts'

/** Runs a check that needs the engine. The engine check alone reports an engine that does not answer. */
export async function withEngine(
  { env }: Pick<Machine, 'env'>,
  look: (docker: Dockerode, source: string) => Promise<Finding>,
): Promise<Finding> {
  let connection: ReturnType<typeof createDocker>
  try {
    connection = createDocker(env)
    await connection.docker.ping()
  } catch {
    return warning('Not looked at, since the engine cannot be used.')
  }
  return look(connection.docker, connection.source)
}
