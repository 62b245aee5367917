import { readFileSync, readlinkSync } from 'node:fs'
import { posix } from 'node:path'
import type { MountSource } from '../workspace/mount-source.ts'
import type { Pin } from '../workspace/pin-git.ts'
import { ownMounts } from './kernel-mounts.ts'
import type { Mount } from './mount-table.ts'

/** A file or folder by its file system: the same by whatever name or mount it is reached. */
interface Place {
  /** `major:minor`. */
  device: string
  /** In the file system. */
  path: string
}

/** What a workspace has of the host's files. */
export interface WorkspacePlaces {
  folder: Place
  /** What is mounted in it on the host. */
  below: Place[]
  /** What is pinned, and what is mounted in that. */
  pins: Place[]
}

/** What the workspace of another conversation has to do with ours. */
export type Relation =
  | 'same'
  /** The other has all of ours and more. */
  | 'around'
  /** The other has a part of ours: one of which nothing is pinned, or a part of what is. */
  | 'inside'
  | 'in a pin'
  | 'none'

/** Undefined where the kernel does not tell: on another system than Linux, or of a folder that is gone. */
export function placesOf(
  { descriptor }: MountSource,
  pinned: readonly Pin[],
): WorkspacePlaces | undefined {
  if (process.platform !== 'linux' || descriptor === undefined) return undefined
  const info = readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8')
  const mountId = Number(/^mnt_id:\s*(\d+)$/m.exec(info)?.[1])
  const path = readlinkSync(`/proc/self/fd/${descriptor}`)
  const table = ownMounts()
  const mount = table.find(({ id }) => id === mountId)
  if (!mount || !liesIn(path, mount.point)) return undefined
  const placeAt = (path: string): Place => ({
    device: mount.device,
    path: posix.join(mount.root, posix.relative(mount.point, path)),
  })
  const below = table.filter(({ point }) => point !== path && liesIn(point, path))
  const pinnedPaths = pinned.map(({ at }) => posix.join(path, at))
  const isPinned = ({ point }: Mount) => pinnedPaths.some((pin) => liesIn(point, pin))
  return {
    folder: placeAt(path),
    below: below.map(placeOf),
    pins: [...pinnedPaths.map(placeAt), ...below.filter(isPinned).map(placeOf)],
  }
}

/** `table` is of the other's container, `workspace` the folder there. */
export function relationTo(
  { folder, below, pins }: WorkspacePlaces,
  table: readonly Mount[],
  workspace: string,
): Relation {
  const main = table.find(({ point }) => point === workspace)
  if (!main) return 'none'
  if (isSame(placeOf(main), folder)) return 'same'
  const theirs = table.filter(({ point }) => liesIn(point, workspace)).map(placeOf)
  const isAround = (all: readonly Place[]) => all.some((one) => theirs.some((it) => has(it, one)))
  const isWithin = (all: readonly Place[]) => all.some((one) => theirs.some((it) => has(one, it)))
  if (isAround([folder])) return 'around'
  if (isWithin(pins) || isAround(pins)) return 'in a pin'
  return isWithin([folder, ...below]) || isAround(below) ? 'inside' : 'none'
}

const placeOf = ({ device, root }: Mount): Place => ({ device, path: root })

const isSame = (one: Place, other: Place) => one.device === other.device && one.path === other.path

const has = (outer: Place, inner: Place) =>
  outer.device === inner.device && liesIn(inner.path, outer.path)

const liesIn = (path: string, folder: string) =>
  path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`)
