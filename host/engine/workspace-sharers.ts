import type Dockerode from 'dockerode'
import { MANAGED_LABEL, ownerIn, WORKSPACE_LABEL } from './owner-labels.ts'

/** A running container of another conversation that has our workspace, a folder in it, or one around it. */
export interface WorkspaceSharer {
  /** The process id of its host. */
  pid: number
  /** The host's path of its workspace. */
  workspace: string
}

const ANSWER_MS = 5_000

/** Never rejects: an engine that does not answer is told by what is started on it. */
export async function workspaceSharers(
  docker: Dockerode,
  own: { name: string; workspace: string },
): Promise<WorkspaceSharer[]> {
  const abortSignal = AbortSignal.timeout(ANSWER_MS)
  try {
    const running = await docker.listContainers({
      filters: { label: [MANAGED_LABEL] },
      abortSignal,
    })
    return running.flatMap(({ Names, Labels }) => {
      const owner = ownerIn(Labels)
      const workspace = Labels[WORKSPACE_LABEL]
      if (!owner || !workspace || Names.includes(`/${own.name}`)) return []
      return overlap(workspace, own.workspace) ? [{ pid: owner.pid, workspace }] : []
    })
  } catch {
    return []
  }
}

const overlap = (one: string, other: string) => isWithin(one, other) || isWithin(other, one)

const isWithin = (path: string, folder: string) => `${path}/`.startsWith(`${folder}/`)

/** For the person at the second of them. */
export function sharingNotice(sharers: readonly WorkspaceSharer[]): string {
  const who = sharers.map(({ pid, workspace }) => `${workspace} (process ${pid})`).join(', ')
  return (
    `Another conversation shares files with this one: ${who}. The tools of each can read and change them, also ` +
    "while a chat is idle. Neither reaches the other's network, memory or requests."
  )
}
