import { readFileSync, readlinkSync } from 'node:fs'
import { posix } from 'node:path'
import { liesIn } from '../../shared/lies-in.ts'
import type { MountSource } from '../workspace/mount-source.ts'
import { ownMounts } from './kernel-mounts.ts'
import type { Mount } from './mount-table.ts'

/** A file or folder by its file system: the same under every name and mount. */
interface Place {
  /** `major:minor`. */
  device: string
  /** From the root of the file system. */
  path: string
}

/** The host's files in a workspace. */
export interface WorkspacePlaces {
  folder: Place
  /** The host's mounts below it. */
  below: Place[]
}

/** How the workspace of another conversation overlaps ours. */
export type Relation =
  | 'same'
  /** It contains a part of ours, or ours and more. */
  | 'in part'
  | 'none'

/** Undefined where the kernel does not report them: outside Linux, or for a deleted folder. */
export function placesOf({ descriptor }: MountSource): WorkspacePlaces | undefined {
  if (process.platform !== 'linux' || descriptor === undefined) return undefined
  const info = readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8')
  const mountId = Number(/^mnt_id:\s*(\d+)$/m.exec(info)?.[1])
  const path = readlinkSync(`/proc/self/fd/${descriptor}`)
  const table = ownMounts()
  const mount = table.find(({ id }) => id === mountId)
  if (!mount || !liesIn(path, mount.point)) return undefined
  const root = posix.join(mount.root, posix.relative(mount.point, path))
  const below = table.filter(({ point }) => point !== path && liesIn(point, path))
  return { folder: { device: mount.device, path: root }, below: below.map(placeOf) }
}

/** `table` is the other container's, `workspace` the folder in that container. */
export function relationTo(
  { folder, below }: WorkspacePlaces,
  table: readonly Mount[],
  workspace: string,
): Relation {
  const main = table.find(({ point }) => point === workspace)
  if (!main) return 'none'
  if (isSame(placeOf(main), folder)) return 'same'
  const theirs = table.filter(({ point }) => liesIn(point, workspace)).map(placeOf)
  const isShared = [folder, ...below].some((own) =>
    theirs.some((other) => has(own, other) || has(other, own)),
  )
  return isShared ? 'in part' : 'none'
}

const placeOf = ({ device, root }: Mount): Place => ({ device, path: root })

const isSame = (one: Place, other: Place) => one.device === other.device && one.path === other.path

const has = (outer: Place, inner: Place) =>
  outer.device === inner.device && liesIn(inner.path, outer.path)
