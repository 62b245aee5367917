import { createHash } from 'node:crypto'
import { closeSync, fstatSync, opendirSync, readlinkSync, readSync, type Stats } from 'node:fs'
import { systemCodeOf } from '../../../shared/errors.ts'
import {
  type HeldFolder,
  holdFolder,
  holdIn,
  openIn,
  pathIn,
  release,
} from '../../workspace/open-within.ts'
import type { Budget } from './budget.ts'

/** Deeper folders are not scanned. Each level costs an open descriptor. */
export const MAX_DEPTH = 64

/** A folder is deeper than `MAX_DEPTH`. */
export class TooDeepError extends Error {
  override readonly name = 'TooDeepError'
}

export interface Entry {
  name: string
  kind: 'folder' | 'link' | 'file' | 'other'
}

/** The content of a path. */
export type Content =
  | { kind: 'nothing' | 'folder' }
  | { kind: 'link'; target: string }
  | { kind: 'file'; bytes: Buffer; isExecutable: boolean; names: number }
  /** A file that is too large or cannot be read; `state` identifies its version. */
  | { kind: 'unread'; reason: string; state: string; names: number }

/**
 * Reads a workspace without following links or leaving it: an entry is opened before it is checked. Paths are relative
 * to the root, without links; names and paths are bytes, one character each (latin1), because a name may be no valid
 * UTF-8. The budget counts every access.
 */
export class Tree {
  readonly budget: Budget
  readonly root: string
  /** The last opened folder with its parents, kept open: the next one is often near. */
  readonly #held: { name: string; folder: HeldFolder }[] = []

  constructor(root: string, budget: Budget) {
    this.root = root
    this.budget = budget
  }

  /**
   * Calls `meet` for each entry of the folder.
   * @throws the system's error, TooDeepError, CutShortError
   */
  list(path: string, meet: (entry: Entry) => void): void {
    const folder = opendirSync(String(pathIn(this.#hold(path))), {
      encoding: 'latin1' as BufferEncoding,
      bufferSize: 256,
    })
    try {
      for (let entry = folder.readSync(); entry; entry = folder.readSync()) {
        this.budget.spend('entries')
        const kind = entry.isDirectory()
          ? 'folder'
          : entry.isSymbolicLink()
            ? 'link'
            : entry.isFile()
              ? 'file'
              : 'other'
        meet({ name: entry.name, kind })
      }
    } finally {
      folder.closeSync()
    }
  }

  /** Reads a file of at most `maxBytes`. @throws CutShortError only */
  read(path: string, maxBytes: number): Content {
    let descriptor: number | undefined
    let state = ''
    try {
      if (path === '') return { kind: 'folder' }
      const [folder, name] = this.#place(path)
      this.budget.spend('steps')
      try {
        descriptor = openIn(folder, name)
      } catch (error) {
        if (systemCodeOf(error) !== 'ELOOP') throw error
        return { kind: 'link', target: readlinkSync(pathIn(folder, name), 'latin1') }
      }
      const stats = fstatSync(descriptor)
      if (stats.isDirectory()) return { kind: 'folder' }
      state = stateOf(stats)
      const names = stats.nlink
      const unread = (reason: string): Content => ({ kind: 'unread', reason, state, names })
      if (!stats.isFile()) return unread('it is no regular file')
      if (stats.size > maxBytes) return unread(`it is larger than ${maxBytes / 1024} KiB`)
      const bytes = this.#bytes(descriptor, stats.size)
      return { kind: 'file', bytes, isExecutable: (stats.mode & 0o111) !== 0, names }
    } catch (error) {
      const code = systemCodeOf(error)
      if (code === undefined) {
        if (!(error instanceof TooDeepError)) throw error
        return { kind: 'unread', reason: 'it lies too deep', state, names: 1 }
      }
      if (NOTHING.has(code)) return { kind: 'nothing' }
      return { kind: 'unread', reason: `it cannot be read (${code})`, state: code, names: 1 }
    } finally {
      if (descriptor !== undefined) closeSync(descriptor)
    }
  }

  /** The target of a link; undefined for anything else. */
  target(path: string): string | undefined {
    this.budget.spend('steps')
    try {
      const [folder, name] = this.#place(path)
      return readlinkSync(pathIn(folder, name), 'latin1')
    } catch (error) {
      if (systemCodeOf(error) === undefined && !(error instanceof TooDeepError)) throw error
      return undefined
    }
  }

  end(): void {
    this.#releaseTo(0)
  }

  #place(path: string): [folder: HeldFolder, name: Buffer] {
    const slash = path.lastIndexOf('/')
    return [this.#hold(path.slice(0, Math.max(0, slash))), bytesOf(path.slice(slash + 1))]
  }

  #hold(path: string): HeldFolder {
    const names = path === '' ? [] : path.split('/')
    if (names.length > MAX_DEPTH) throw new TooDeepError()
    let same = 0
    while (same < names.length && this.#held[same + 1]?.name === names[same]) same++
    if (this.#held.length === 0) {
      this.budget.spend('steps')
      this.#held.push({ name: '', folder: holdFolder(this.root) })
    }
    this.#releaseTo(same + 1)
    for (const name of names.slice(same)) {
      this.budget.spend('steps')
      const above = this.#held.at(-1)
      if (above) this.#held.push({ name, folder: holdIn(above.folder, bytesOf(name)) })
    }
    const last = this.#held.at(-1)
    if (!last) throw new TooDeepError()
    return last.folder
  }

  #releaseTo(length: number): void {
    for (const { folder } of this.#held.splice(length)) release(folder)
  }

  #bytes(descriptor: number, size: number): Buffer {
    this.budget.spend('bytes', size)
    // Reads at most the size of the stat, even if the file grows.
    const bytes = Buffer.allocUnsafe(size)
    let length = 0
    while (length < size) {
      const read = readSync(descriptor, bytes, length, size - length, length)
      if (read === 0) break
      length += read
    }
    return bytes.subarray(0, length)
  }
}

/** The bytes of a latin1 name, for system calls. */
export const bytesOf = (name: string) => Buffer.from(name, 'latin1')

export const digest = (bytes: string | Buffer) =>
  createHash('sha256')
    .update(typeof bytes === 'string' ? bytesOf(bytes) : bytes)
    .digest('base64url')
    .slice(0, 24)

/** Errors of a missing file or of a parent that is no folder: no file there can run. */
const NOTHING = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG'])

const stateOf = ({ ino, size, mtimeMs, ctimeMs, mode }: Stats) =>
  `${ino} ${size} ${mtimeMs} ${ctimeMs} ${mode}`
