import { dirname, posix } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type Dockerode from 'dockerode'
import { identityAt, pathAndAbove } from '../workspace/folders-above.ts'
import type { AgentSpec } from './engine.ts'
import { engineRequest, hadNoAnswer, isGone, statusOf } from './engine-request.ts'
import { unlessEngineHangs } from './health-watch.ts'
import { mountsByExec, mountsOf } from './kernel-mounts.ts'
import type { Mount } from './mount-table.ts'
import { MANAGED_LABEL, ownerIn, type Shared, sharedIn } from './owner-labels.ts'
import { inside } from './sandbox-policy.ts'
import { placesOf, type Relation, relationTo, type WorkspacePlaces } from './shared-files.ts'
import { isBeingStarted, statusOfContainer } from './starting-containers.ts'

/** A container of another conversation with our workspace, a folder in it, or a folder around it. */
export interface WorkspaceSharer {
  id: string
  /** The process id of its host; undefined where the labels lack it. */
  pid: number | undefined
  /** The host's path of its workspace at its start; undefined where the labels lack it. */
  workspace: string | undefined
  /**
   * Whether its tools cannot move this path below *our* workspace, as a mount point cannot be renamed where
   * it is mounted. Paths outside their own workspace are in their reach too: tools of a third conversation can
   * pass them a descriptor, through a socket in a shared folder.
   */
  holds(at: string): boolean
  /** It is starting, and our tools could move the sources of its mounts. */
  goesFirst: boolean
}

type Own = Pick<AgentSpec, 'workspace' | 'pinned'> & { id: string }

const ENDED = ['exited', 'dead', 'removing']

/**
 * All current sharers, started or not. `own` is our container.
 * @throws CodexboxError `engine-unavailable`
 */
export async function workspaceSharers(
  docker: Dockerode,
  own: Own,
  engineLabel: string,
): Promise<WorkspaceSharer[]> {
  const filters = { label: [MANAGED_LABEL] }
  const listed = await engineRequest(
    (abortSignal) => docker.listContainers({ all: true, filters, abortSignal }),
    engineLabel,
  )
  const others = listed.filter(({ Id, State }) => Id !== own.id && !ENDED.includes(State))
  if (others.length === 0) return []
  const places = placesOf(own.workspace)
  const sharers = await Promise.all(
    others.map((other) => sharerOf(docker, other, { ...own, places }, engineLabel)),
  )
  return sharers.filter((sharer) => sharer !== undefined)
}

async function sharerOf(
  docker: Dockerode,
  { Id: id, Labels, State, Mounts }: Dockerode.ContainerInfo,
  own: Own & { places: WorkspacePlaces | undefined },
  engineLabel: string,
): Promise<WorkspaceSharer | undefined> {
  const labelled = sharedIn(Labels) ?? sharedByMounts(Mounts)
  const isRunning = !isBeingStarted(State)
  const table = isRunning ? await mountsNow(docker, id, engineLabel) : undefined
  if (table === 'gone') return undefined
  const about = { id, pid: ownerIn(Labels)?.pid, workspace: labelled?.workspace }
  switch (relationOf(own, table, labelled, Mounts)) {
    case 'none':
      return undefined
    case 'same': {
      const pins = table?.mounts.map(({ point }) => posix.relative(inside.workspace, point)) ?? []
      const fixed = new Set(isRunning ? pins : labelled?.pins)
      const ours = (own.pinned ?? []).map(({ at }) => at)
      return {
        ...about,
        holds: (at) => withParents(at).every((path) => fixed.has(path)),
        goesFirst: !isRunning && [...fixed].some((at) => !ours.includes(at)),
      }
    }
    case 'in part':
      return { ...about, holds: () => false, goesFirst: !isRunning }
  }
}

function relationOf(
  own: Own & { places: WorkspacePlaces | undefined },
  table: MountsNow | undefined,
  labelled: Shared | undefined,
  mounts: Dockerode.ContainerInfo['Mounts'] | undefined,
): Relation {
  if (table?.isOfOurKernel && own.places) {
    return relationTo(own.places, table.mounts, inside.workspace)
  }
  if (labelled) return labelledRelation(own, labelled)
  // A probe of an image has no mounts. Any other container may have any file.
  return mounts?.length ? 'in part' : 'none'
}

/** For a container of an older version, without these labels. */
function sharedByMounts(mounts: Dockerode.ContainerInfo['Mounts'] = []): Shared | undefined {
  const workspace = mounts.find(({ Destination }) => Destination === inside.workspace)?.Source
  const identity = workspace && identityAt(workspace)
  return workspace && identity ? { workspace, identity, pins: [] } : undefined
}

/** For a container that does not run yet, or on another kernel: by the labels of its creation. */
function labelledRelation({ workspace, pinned = [] }: Own, other: Shared): Relation {
  if (other.identity === workspace.identity) return 'same'
  const above = identitiesOf(dirname(workspace.path))
  const aboveOther = identitiesOf(dirname(other.workspace))
  // A folder that was moved since is recognised by its identity.
  const isOfPin = pinned.some(({ identity }) => [...aboveOther, other.identity].includes(identity))
  const isShared =
    isOfPin ||
    above.includes(other.identity) ||
    aboveOther.includes(workspace.identity) ||
    other.workspace.startsWith(`${workspace.path}/`)
  return isShared ? 'in part' : 'none'
}

const identitiesOf = (path: string) => pathAndAbove(path).map(identityAt)

interface MountsNow {
  mounts: Mount[]
  isOfOurKernel: boolean
}

/**
 * The current mounts of a running container; undefined where they cannot be read. Git on the host replaces some
 * files on writing, after which they are no mount points any more.
 */
async function mountsNow(
  docker: Dockerode,
  id: string,
  engineLabel: string,
): Promise<MountsNow | 'gone' | undefined> {
  const container = docker.getContainer(id)
  for (let tries = 0; tries < ENDING_TRIES; tries++) {
    try {
      const ofKernel = await mountsOf(container, engineLabel)
      if (ofKernel) return { mounts: ofKernel, isOfOurKernel: true }
      const reading = mountsByExec(docker, container, engineLabel).catch((error: unknown) => {
        // Its tools may prevent the exec; that must not prevent starts of other containers.
        if (statusOf(error) === undefined) return undefined
        throw error
      })
      const mounts = await unlessEngineHangs(docker, engineLabel, reading)
      return mounts && { mounts, isOfOurKernel: false }
    } catch (error) {
      // The container has ended since it was listed, or is being removed. A paused one also answers 409.
      if (isGone(error)) return 'gone'
      if (statusOf(error) === 409 && (await statusOfContainer(container, engineLabel)) !== 'paused')
        return 'gone'
      if (hadNoAnswer(error)) throw error
      // The kernel has no mounts for a process that is ending.
      await sleep(ENDING_PAUSE_MS)
    }
  }
  return undefined
}

/** How often to look at a container that is ending, such as that of a killed host. */
const ENDING_TRIES = 40
const ENDING_PAUSE_MS = 50

/** `a/b` and `a`. */
function withParents(at: string): string[] {
  const parent = posix.dirname(at)
  return parent === '.' ? [at] : [at, ...withParents(parent)]
}

/** A notice for the user of the later conversation. `unpinned` are its paths that could not be protected. */
export function sharingNotice(
  sharers: readonly WorkspaceSharer[],
  unpinned: readonly string[],
): string {
  const who = sharers
    .map(
      ({ pid, workspace }) => `${workspace ?? 'an unknown folder'} (process ${pid ?? 'unknown'})`,
    )
    .join(', ')
  const open =
    unpinned.length > 0
      ? ` Not protected from this agent, since the other could move it meanwhile: ${unpinned.join(', ')}.`
      : ''
  return (
    `Another conversation shares files with this one: ${who}. The tools of each can read and change them, also ` +
    `while a chat is idle, and lend each other what they have open, such as a network.${open} ` +
    'Use two folders for work that must not be mixed.'
  )
}
