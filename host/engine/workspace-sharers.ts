import { lstatSync } from 'node:fs'
import { dirname, posix } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type Dockerode from 'dockerode'
import { systemCodeOf } from '../../shared/errors.ts'
import { fileIdentity } from '../workspace/mount-source.ts'
import { askEngine, hadNoAnswer, statusOf } from './ask-engine.ts'
import { inside } from './container-options.ts'
import type { AgentSpec } from './engine.ts'
import { mountsOf } from './kernel-mounts.ts'
import { MANAGED_LABEL, ownerIn, type Shared, sharedIn } from './owner-labels.ts'

/** A container of another conversation that has our workspace, a folder in it, or one around it. */
export interface WorkspaceSharer {
  /** The process id of its host; undefined where the container does not say. */
  pid: number | undefined
  /** The host's path of its workspace; undefined where the container does not say. */
  workspace: string | undefined
  /**
   * Whether its tools cannot move what is at this path below *our* workspace. A mount point cannot be renamed where
   * it is mounted, and what they have not is out of their reach.
   */
  holds(at: string): boolean
}

const ENDED = ['exited', 'dead', 'removing']

/**
 * All of them at this moment, started or not.
 * @throws CodexboxError `engine-unavailable`
 */
export async function workspaceSharers(
  docker: Dockerode,
  own: Pick<AgentSpec, 'name' | 'workspace' | 'pinned'>,
  where: string,
): Promise<WorkspaceSharer[]> {
  const filters = { label: [MANAGED_LABEL] }
  const listed = await askEngine(
    (abortSignal) => docker.listContainers({ all: true, filters, abortSignal }),
    where,
  )
  const others = listed.filter(
    ({ Names, State }) => !Names.includes(`/${own.name}`) && !ENDED.includes(State),
  )
  const sharers = await Promise.all(others.map((other) => sharerOf(docker, other, own, where)))
  return sharers.filter((sharer) => sharer !== undefined)
}

async function sharerOf(
  docker: Dockerode,
  { Id, Labels, State, Mounts }: Dockerode.ContainerInfo,
  { workspace, pinned = [] }: Pick<AgentSpec, 'workspace' | 'pinned'>,
  where: string,
): Promise<WorkspaceSharer | undefined> {
  const pid = ownerIn(Labels)?.pid
  const shared = sharedIn(Labels) ?? sharedByMounts(Mounts)
  // A look into an image has nothing of the host's.
  if (!shared) {
    return Mounts?.length ? { pid, workspace: undefined, holds: () => false } : undefined
  }
  const about = { pid, workspace: shared.workspace }
  if (shared.identity === workspace.identity) {
    const found = await fixedByKernel(docker, Id, State, where)
    if (found === 'gone') return undefined
    const fixed = new Set(found ?? shared.pins)
    return { ...about, holds: (at) => withParents(at).every((path) => fixed.has(path)) }
  }
  if (identitiesAbove(workspace.path).includes(shared.identity)) {
    return { ...about, holds: () => false }
  }
  const around = identitiesAbove(shared.workspace)
  const isInPin = pinned.some(({ identity }) => [...around, shared.identity].includes(identity))
  const isInside =
    around.includes(workspace.identity) || shared.workspace.startsWith(`${workspace.path}/`)
  // What was moved since it began is known by what it is.
  return isInside || isInPin ? { ...about, holds: () => !isInPin } : undefined
}

/** Of another version of ours, which did not say. */
function sharedByMounts(mounts: Dockerode.ContainerInfo['Mounts'] = []): Shared | undefined {
  const workspace = mounts.find(({ Destination }) => Destination === inside.workspace)?.Source
  const identity = workspace && identityAt(workspace)
  return workspace && identity ? { workspace, identity, pins: [] } : undefined
}

/**
 * What is a mount point in a running container now. Git on the host replaces some files when it writes to them, and
 * they are no mount points any more then.
 */
async function fixedByKernel(
  docker: Dockerode,
  id: string,
  state: string,
  where: string,
): Promise<string[] | 'gone' | undefined> {
  if (state !== 'running' && state !== 'paused') return undefined
  for (let tries = 0; tries < ENDING_TRIES; tries++) {
    try {
      const mounts = await mountsOf(docker.getContainer(id), where)
      return mounts?.map(({ point }) => posix.relative(inside.workspace, point))
    } catch (error) {
      // It has ended since it was listed, or is being removed.
      if ([404, 409].includes(statusOf(error) ?? 0)) return 'gone'
      if (hadNoAnswer(error)) throw error
      // Of a process that is ending the kernel has no mounts any more.
      await sleep(ENDING_PAUSE_MS)
    }
  }
  return []
}

/** How long a container may take to end: that of a host that was killed may be about to. */
const ENDING_TRIES = 40
const ENDING_PAUSE_MS = 50

/** `a/b` and `a`. */
function withParents(at: string): string[] {
  const parent = posix.dirname(at)
  return parent === '.' ? [at] : [at, ...withParents(parent)]
}

/** Of the folders above a path of the host; those that cannot be seen are left out. */
function identitiesAbove(path: string): string[] {
  const parent = dirname(path)
  if (parent === path) return []
  return [identityAt(parent), ...identitiesAbove(parent)].filter((found) => found !== undefined)
}

/** Undefined for what is not there, or not for this user to see. */
function identityAt(path: string): string | undefined {
  try {
    return fileIdentity(lstatSync(path, { bigint: true }))
  } catch (error) {
    if (systemCodeOf(error) === undefined) throw error
    return undefined
  }
}

/** For the person at the second of them. `unpinned` are the paths that could not be protected for it. */
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
    `while a chat is idle. Neither reaches the other's network, memory or requests.${open}`
  )
}
