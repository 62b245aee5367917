import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  realpathSync,
} from 'node:fs'
import { join } from 'node:path'
import { systemCodeOf } from '../../shared/errors.ts'

/** The name of a file; bytes where it may not be valid UTF-8. */
export type FileName = string | Buffer

/** Windows has only the first; `checkWhere` is its best effort. */
const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0, O_DIRECTORY = 0 } = constants

/** macOS: fails on a link anywhere in the path. Node has no name for it. */
const O_NOFOLLOW_ANY = 0x20000000

/** For an open by path: fails on a link, as far as the system supports it. */
export const NO_LINKS = process.platform === 'darwin' ? O_NOFOLLOW_ANY : O_NOFOLLOW

/** A folder held open, so that lookups stay inside of it despite concurrent renames. */
export interface HeldFolder {
  readonly descriptor: number
  /** Its path at the time of opening. */
  readonly path: string
}

/**
 * Opens a folder by a path without links.
 * @throws the system's error: `ENOTDIR` or `ELOOP` for another file type or a link
 */
export function holdFolder(path: string): HeldFolder {
  return { descriptor: openByPath(path, O_DIRECTORY), path }
}

export function release({ descriptor }: HeldFolder): void {
  closeSync(descriptor)
}

/**
 * Opens `name` in a folder for reading. In a workspace a tool may replace a file with a link at any
 * moment, so files are opened first and checked afterwards.
 * A link is an `ELOOP`, and a FIFO does not block.
 * @throws the system's error
 */
export function openIn(folder: HeldFolder, name: FileName): number {
  return openEntry(folder, name, 0)
}

/** Like `openIn`, for a folder (`ENOTDIR` otherwise). */
export function holdIn(folder: HeldFolder, name: FileName): HeldFolder {
  const descriptor = openEntry(folder, name, O_DIRECTORY)
  return { descriptor, path: join(folder.path, String(name)) }
}

/** The path for lookups in a folder: by the descriptor where supported, which renames do not affect. */
export function pathIn(folder: HeldFolder, name?: string): string
export function pathIn(folder: HeldFolder, name: FileName): FileName
export function pathIn(folder: HeldFolder, name: FileName = ''): FileName {
  const parent = process.platform === 'linux' ? `/proc/self/fd/${folder.descriptor}` : folder.path
  if (typeof name === 'string') return name ? `${parent}/${name}` : parent
  return Buffer.concat([Buffer.from(`${parent}/`), name])
}

/**
 * The bytes of a regular file below `root`, a path without links, opened without following links;
 * undefined for a missing file, or one of more than `maxBytes`.
 */
export function readWithin(root: string, path: string, maxBytes: number): Buffer | undefined {
  const names = path.split('/')
  const last = names.pop() ?? ''
  let folder: HeldFolder | undefined
  try {
    folder = holdFolder(root)
    for (const name of names) {
      const next = holdIn(folder, name)
      release(folder)
      folder = next
    }
    const descriptor = openIn(folder, last)
    try {
      return readRegular(descriptor, maxBytes)
    } finally {
      closeSync(descriptor)
    }
  } catch (error) {
    // A missing, an unreadable and a wrong kind of file are the same to the caller.
    if (systemCodeOf(error) === undefined) throw error
    return undefined
  } finally {
    if (folder) release(folder)
  }
}

/** Undefined for other than a regular file, or more than `maxBytes`. */
export function readRegular(descriptor: number, maxBytes: number): Buffer | undefined {
  const stats = fstatSync(descriptor)
  if (!stats.isFile() || stats.size > maxBytes) return undefined
  // Reads at most the checked size, even from a growing file.
  const bytes = Buffer.alloc(stats.size)
  let length = 0
  while (length < bytes.length) {
    const read = readSync(descriptor, bytes, length, bytes.length - length, length)
    if (read === 0) break
    length += read
  }
  return bytes.subarray(0, length)
}

function openEntry(folder: HeldFolder, name: FileName, flags: number): number {
  if (process.platform !== 'linux') return openByPath(join(folder.path, String(name)), flags)
  // The descriptor part resolves to the folder itself; O_NOFOLLOW applies to the name.
  return openSync(pathIn(folder, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | flags)
}

function openByPath(path: string, flags: number): number {
  const descriptor = openSync(path, O_RDONLY | NO_LINKS | O_NONBLOCK | flags)
  try {
    checkWhere(descriptor, path)
    return descriptor
  } catch (error) {
    closeSync(descriptor)
    throw error
  }
}

/** Checks that the opened file is the one at the path without links. */
function checkWhere(descriptor: number, path: string): void {
  // The open flags have ensured it there.
  if (process.platform === 'darwin') return
  if (process.platform === 'linux') {
    if (readlinkSync(`/proc/self/fd/${descriptor}`) === path) return
  } else {
    const [opened, found] = [fstatSync(descriptor), lstatSync(path)]
    const isSame = opened.dev === found.dev && opened.ino === found.ino
    if (isSame && realpathSync(path) === path) return
  }
  throw Object.assign(new Error(`${path} is reached by a link`), { code: 'ELOOP' })
}
