import {
  accessSync,
  type BigIntStats,
  constants,
  existsSync,
  fstatSync,
  realpathSync,
  statSync,
} from 'node:fs'
import { basename, dirname, join, sep } from 'node:path'
import { CodexboxError, systemCodeOf } from '../../shared/errors.ts'
import { identityAt, pathAndAbove } from './folders-above.ts'
import { fileIdentity, holdSource, type MountSource, releaseSources } from './mount-source.ts'
import { holdFolder, release } from './open-within.ts'
import {
  HOME_MARKERS,
  type ProtectedPlace,
  protectedPlaces,
  SECRET_NAMES,
} from './protected-folders.ts'

export interface Workspace {
  /** Absolute, links resolved: the checked path is the mounted one. */
  path: string
  /** Device and inode of the checked folder. */
  identity: string
  /** The user of the tools, so that new files get the right owner. */
  user: { uid: number; gid: number }
}

/**
 * Checks a folder for use by an agent.
 * @throws CodexboxError `workspace-invalid`: missing, not a folder, not writable, or one that would
 * expose secrets or control over this machine, such as the data folder with the tokens.
 */
export function openWorkspace(folder: string, dataDir: string): Workspace {
  const path = resolveFolder(folder)
  const stats = statsOfFolder(folder, path)
  if (dirname(path) === path)
    throw refused(folder, 'is the root of the file system; name a folder for the work')
  const place = protectedPlaces(dataDir).find((place) => exposes(path, place))
  if (place) throw refused(folder, `would give the agent ${place.what}`)
  const secret = path.split(sep).find((name) => SECRET_NAMES.includes(name))
  if (secret) throw refused(folder, `lies in ${secret}, where keys and credentials are kept`)
  const sign = HOME_MARKERS.find((name) => existsSync(join(path, name)))
  if (sign)
    throw refused(folder, `holds ${sign}, as a home folder does; name a folder for the work`)
  if (!isWritable(path)) throw refused(folder, 'is not writable for this user')
  return { path, identity: fileIdentity(stats), user: toolUser(stats) }
}

/**
 * Holds the checked folder open until it is mounted. The caller releases it.
 * @throws CodexboxError `workspace-invalid` when the folder was replaced, or by a link
 */
export function holdWorkspace({ path, identity }: Workspace): MountSource {
  let source: MountSource
  try {
    source = holdSource(path)
  } catch (error) {
    throw refused(path, WHY_NOT[systemCodeOf(error) ?? ''] ?? cannotOpen(error), error)
  }
  if (source.identity === identity) return source
  releaseSources([source])
  throw refused(path, 'is not what it was when it was looked at; it has been replaced')
}

/** Stats of the folder at `path`, a path without links, by its descriptor. */
function statsOfFolder(folder: string, path: string): BigIntStats {
  // Windows opens no folders.
  if (process.platform === 'win32') {
    const stats = statSync(path, { bigint: true })
    if (stats.isDirectory()) return stats
    throw refused(folder, 'is a file; name the folder it is in')
  }
  try {
    const held = holdFolder(path)
    try {
      return fstatSync(held.descriptor, { bigint: true })
    } finally {
      release(held)
    }
  } catch (error) {
    throw refused(folder, WHY_NOT[systemCodeOf(error) ?? ''] ?? cannotOpen(error), error)
  }
}

const WHY_NOT: NodeJS.Dict<string> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'is a file; name the folder it is in',
  EACCES: 'is not writable for this user',
  ELOOP: 'was replaced by a link while it was looked at',
}

const cannotOpen = (error: unknown) => `cannot be opened (${systemCodeOf(error)})`

const ANYBODY = { uid: 1000, gid: 1000 }

/** The user of this process. For root, the owner of the folder, so that no file in it becomes root's. */
function toolUser(stats: BigIntStats): Workspace['user'] {
  const uid = process.getuid?.()
  const gid = process.getgid?.()
  // Windows has no user numbers, and lets every user of a container write to its folders.
  if (uid === undefined || gid === undefined) return ANYBODY
  return uid === 0 ? { uid: Number(stats.uid), gid: Number(stats.gid) } : { uid, gid }
}

function resolveFolder(folder: string): string {
  try {
    return realpathSync(folder)
  } catch (error) {
    throw refused(folder, WHY_NOT[systemCodeOf(error) ?? ''] ?? cannotOpen(error), error)
  }
}

/** Whether the folder `path` contains the protected place, or lies in a deep one. */
function exposes(path: string, { path: place, coversSubfolders }: ProtectedPlace): boolean {
  const real = futurePath(place)
  return contains(path, real) || (coversSubfolders && contains(real, path))
}

/** Resolves links of a path that may not exist yet, such as the data folder. */
function futurePath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    const parent = dirname(path)
    return parent === path ? path : join(futurePath(parent), basename(path))
  }
}

/**
 * By name and by identity: a folder that is mounted twice, or named in other case on a case-insensitive
 * file system, is the same folder.
 */
function contains(folder: string, path: string): boolean {
  const [outer, inner] = [sameCase(folder), sameCase(path)]
  if (inner === outer || inner.startsWith(outer.endsWith(sep) ? outer : outer + sep)) return true
  const identity = identityAt(folder)
  return identity !== undefined && pathAndAbove(path).some((at) => identityAt(at) === identity)
}

function sameCase(path: string): string {
  const ignoresCase = process.platform === 'darwin' || process.platform === 'win32'
  return ignoresCase ? path.normalize('NFC').toLowerCase() : path
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}

function refused(folder: string, why: string, cause?: unknown): CodexboxError {
  return new CodexboxError('workspace-invalid', `The workspace ${folder} ${why}.`, { cause })
}
