import { type BigIntStats, closeSync, constants, fstatSync, lstatSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { systemCodeOf } from '../../shared/errors.ts'
import { holdFolder, openIn, pathIn } from './open-within.ts'

/**
 * A file or folder that is to be mounted. It is held open until the mount was compared with it: a path may lead
 * elsewhere by the time the engine follows it, a descriptor cannot, and a number of an inode that is open is not
 * used again.
 */
export interface MountSource {
  /** The host's path, without links when it was opened. */
  readonly path: string
  /** Device and inode. */
  readonly identity: string
  readonly kind: 'file' | 'folder' | 'link' | 'other'
  /** Absent on Windows, which opens no folders. */
  readonly descriptor?: number
}

/** Linux: refers to the thing itself, for which no right to read it is needed. Node does not name it. */
const O_PATH = 0o10000000

/**
 * Holds a folder that is named by a path without links.
 * @throws the system's error: `ENOTDIR` or `ELOOP` when it is none, or a link
 */
export function holdSource(path: string): MountSource {
  if (process.platform === 'win32') return lookedAt(path)
  return held(holdFolder(path).descriptor, path)
}

/** Holds what a path of our own leads to, links followed: our package may be installed by one. */
export function holdOwn(path: string): MountSource {
  if (process.platform === 'win32') return lookedAt(path)
  return held(openSync(path, process.platform === 'linux' ? O_PATH : constants.O_RDONLY), path)
}

/**
 * Holds what is called `name` in a folder, a link itself included; undefined when it is not there.
 * @throws the system's error for what cannot be told: a tool may have closed the folder to us
 */
export function holdSourceIn(folder: MountSource, name: string): MountSource | undefined {
  const { descriptor } = folder
  const path = join(folder.path, name)
  try {
    if (descriptor === undefined) return lookedAt(path)
    const inFolder = { descriptor, path: folder.path }
    if (process.platform !== 'linux') return held(openIn(inFolder, name), path)
    return held(openSync(pathIn(inFolder, name), O_PATH | constants.O_NOFOLLOW), path)
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

export function releaseSources(sources: readonly MountSource[]): void {
  for (const { descriptor } of sources) if (descriptor !== undefined) closeSync(descriptor)
}

/** Tells a file or folder from any other, wherever it is moved. */
export const fileIdentity = ({ dev, ino }: BigIntStats) => `${dev}:${ino}`

function held(descriptor: number, path: string): MountSource {
  return { ...described(path, fstatSync(descriptor, { bigint: true })), descriptor }
}

function lookedAt(path: string): MountSource {
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
