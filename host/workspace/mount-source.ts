import { type BigIntStats, closeSync, constants, fstatSync, lstatSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { systemCodeOf } from '../../shared/errors.ts'
import { holdFolder, openIn, pathIn } from './open-within.ts'

/**
 * A file or folder to mount. It is held open until the mount has been compared with it: a path may lead
 * elsewhere by the time the engine follows it, a descriptor cannot, and the number of an open inode is not
 * reused.
 */
export interface MountSource {
  /** The host's path, without links at the time of opening. */
  readonly path: string
  /** Device and inode. */
  readonly identity: string
  readonly kind: 'file' | 'folder' | 'link' | 'other'
  /** Absent on Windows, which opens no folders. */
  readonly descriptor?: number
}

/** Linux: refers to the file itself, without read permission. Node has no name for it. */
const O_PATH = 0o10000000

/**
 * Opens a folder by a path without links.
 * @throws the system's error: `ENOTDIR` or `ELOOP` for another file type or a link
 */
export function holdSource(path: string): MountSource {
  if (process.platform === 'win32') return statted(path)
  return opened(holdFolder(path).descriptor, path)
}

/** Opens a path of this package, following links: the package may be installed through one. */
export function holdOwn(path: string): MountSource {
  if (process.platform === 'win32') return statted(path)
  return opened(openSync(path, process.platform === 'linux' ? O_PATH : constants.O_RDONLY), path)
}

/**
 * Opens `name` in a folder, even a link itself; undefined when it does not exist.
 * @throws the system's error when existence is unknown: a tool may have revoked access to the folder
 */
export function holdSourceIn(folder: MountSource, name: string): MountSource | undefined {
  const { descriptor } = folder
  const path = join(folder.path, name)
  try {
    if (descriptor === undefined) return statted(path)
    const inFolder = { descriptor, path: folder.path }
    if (process.platform !== 'linux') return opened(openIn(inFolder, name), path)
    return opened(openSync(pathIn(inFolder, name), O_PATH | constants.O_NOFOLLOW), path)
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

export function releaseSources(sources: readonly MountSource[]): void {
  for (const { descriptor } of sources) if (descriptor !== undefined) closeSync(descriptor)
}

/** Identifies a file or folder even after a move. */
export const fileIdentity = ({ dev, ino }: BigIntStats) => `${dev}:${ino}`

function opened(descriptor: number, path: string): MountSource {
  return { ...described(path, fstatSync(descriptor, { bigint: true })), descriptor }
}

function statted(path: string): MountSource {
  return described(path, lstatSync(path, { bigint: true }))
}

function described(path: string, stats: BigIntStats): MountSource {
  return { path, identity: fileIdentity(stats), kind: kindOf(stats) }
}

function kindOf(stats: BigIntStats): MountSource['kind'] {
  if (stats.isDirectory()) return 'folder'
  if (stats.isFile()) return 'file'
  return stats.isSymbolicLink() ? 'link' : 'other'
}
