import type Dockerode from 'dockerode'
import { stateOf } from '../storage/process-identity.ts'
import { MANAGED_LABEL, ownerIn } from './owner-labels.ts'
import { removeContainer } from './remove-container.ts'

/** It is done beside a start, and keeps no process from ending for long. */
const ANSWER_MS = 10_000

/**
 * Removes the containers of hosts that were killed before they could do so: one that was created and
 * never started leaves by nobody's doing. Only those with our labels and a name like ours, whose owner
 * is known to have died; a process of another machine, or of another container, cannot be seen from
 * here. Never rejects: who comes next tries again. Returns the names of those it has removed.
 */
export async function removeAbandoned(docker: Dockerode): Promise<string[]> {
  const abortSignal = AbortSignal.timeout(ANSWER_MS)
  const filters = { label: [MANAGED_LABEL] }
  try {
    const ours = await docker.listContainers({ all: true, filters, abortSignal })
    const removed = await Promise.all(
      ours.filter(isAbandoned).map(async ({ Id, Names }) => {
        // Another host may be faster, or the engine itself.
        const isRemoved = await removeContainer(docker.getContainer(Id))
        return isRemoved ? Names.slice(0, 1) : []
      }),
    )
    return removed.flat()
  } catch {
    return [] // The engine's trouble is told by what is started on it.
  }
}

/** Labels alone do not do: an image that somebody made of a container of ours passes them on. */
function isAbandoned({ Names, Labels }: Dockerode.ContainerInfo): boolean {
  const owner = ownerIn(Labels)
  const hasOurName = Names.every((name) => name.startsWith('/codexbox-'))
  return owner !== undefined && hasOurName && stateOf(owner) === 'dead'
}
