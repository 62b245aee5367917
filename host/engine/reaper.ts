import type Dockerode from 'dockerode'
import { stateOf } from '../storage/process-identity.ts'
import { MANAGED_LABEL, ownerIn } from './owner-labels.ts'
import { removeContainer } from './remove-container.ts'

/** Runs beside a start, and keeps no process alive for long. */
const ANSWER_MS = 10_000

/**
 * Removes the containers of killed hosts: a container that was created and never started does not end
 * by itself. Removes only containers with our labels and a name like ours whose owner has certainly
 * died; a process of another machine, or of another container, is not visible here. Never rejects:
 * the next start tries again. Returns the names of the removed containers.
 */
export async function removeAbandoned(docker: Dockerode): Promise<string[]> {
  const abortSignal = AbortSignal.timeout(ANSWER_MS)
  const filters = { label: [MANAGED_LABEL] }
  try {
    const ours = await docker.listContainers({ all: true, filters, abortSignal })
    const removed = await Promise.all(
      ours.filter(isAbandoned).map(async ({ Id, Names }) => {
        // Another host or the engine may have removed it first.
        const isRemoved = await removeContainer(docker.getContainer(Id))
        return isRemoved ? Names.slice(0, 1) : []
      }),
    )
    return removed.flat()
  } catch {
    return [] // The next start reports the engine's fault.
  }
}

/** Labels alone are not enough: an image committed from one of our containers passes them on. */
function isAbandoned({ Names, Labels }: Dockerode.ContainerInfo): boolean {
  const owner = ownerIn(Labels)
  const hasOurName = Names.every((name) => name.startsWith('/codexbox-'))
  return owner !== undefined && hasOurName && stateOf(owner) === 'dead'
}
