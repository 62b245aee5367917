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

/** What a file is called; as bytes where it may be no text. */
export type FileName = string | Buffer

/** Windows has but the first; `checkWhere` does there what it can. */
const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0, O_DIRECTORY = 0 } = constants

/** macOS: fails on a link anywhere in the path. Node does not name it. */
const O_NOFOLLOW_ANY = 0x20000000

/** For an open by path: fails on a link, as far as the system can tell. */
export const NO_LINKS = process.platform === 'darwin' ? O_NOFOLLOW_ANY : O_NOFOLLOW

/** A folder that is held open, so that what is looked up in it is in it, whatever is renamed meanwhile. */
export interface HeldFolder {
  readonly descriptor: number
  /** Where it was when it was opened. */
  readonly path: string
}

/**
 * Opens a folder that is named by a path without links.
 * @throws the system's error: `ENOTDIR` or `ELOOP` when it is none, or a link
 */
export function holdFolder(path: string): HeldFolder {
  return { descriptor: openByPath(path, O_DIRECTORY), path }
}

export function release({ descriptor }: HeldFolder): void {
  closeSync(descriptor)
}

/**
 * Opens what is called `name` in a folder, for reading. In a workspace somebody may put a link where a
 * file was, between any two looks: so nothing is checked and then opened, but opened and then judged.
 * A link is an `ELOOP`, and a FIFO does not hold us.
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

/** Where the system finds what is in a folder: by the descriptor if it can, which no rename leads astray. */
export function pathIn(folder: HeldFolder, name?: string): string
export function pathIn(folder: HeldFolder, name: FileName): FileName
export function pathIn(folder: HeldFolder, name: FileName = ''): FileName {
  const held = process.platform === 'linux' ? `/proc/self/fd/${folder.descriptor}` : folder.path
  if (typeof name === 'string') return name ? `${held}/${name}` : held
  return Buffer.concat([Buffer.from(`${held}/`), name])
}

/**
 * The bytes of a regular file below `root`, a path without links, reached without following any;
 * undefined where there is none, or one of more than `maxBytes`.
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
    // What is not there, not readable or not what it should be are the same to whoever wants it.
    if (systemCodeOf(error) === undefined) throw error
    return undefined
  } finally {
    if (folder) release(folder)
  }
}

/** Undefined when it is no regular file, or has more than `maxBytes`. */
export function readRegular(descriptor: number, maxBytes: number): Buffer | undefined {
  const stats = fstatSync(descriptor)
  if (!stats.isFile() || stats.size > maxBytes) return undefined
  // Not more than was looked at, however fast it grows.
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
  // The first part is followed to the folder itself; O_NOFOLLOW is about the name.
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

/** That what was opened is what the path leads to without links. */
function checkWhere(descriptor: number, path: string): void {
  // There the system has seen to it.
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
