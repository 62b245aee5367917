import { readlinkSync } from 'node:fs'
import { systemCodeOf } from '../../../shared/errors.ts'
import {
  type HeldFolder,
  holdFolder,
  holdIn,
  pathIn,
  release,
} from '../../workspace/open-within.ts'
import type { Budget } from './budget.ts'
import { fold } from './fold.ts'
import { bytesOf, MAX_DEPTH } from './tree.ts'

/** Where a path leads once its links are followed; `path` is below the workspace, without links. */
export type Resolved =
  /** `dependsOnReader`: it goes through the folders of whichever process opens it, and so perhaps into the workspace. */
  | { status: 'outside'; dependsOnReader: boolean }
  | { status: 'nowhere' }
  /** Too deep to be followed. */
  | { status: 'unknown' }
  | { status: 'inside'; path: string }

/** As many as Linux follows. */
const MAX_LINKS = 40

const NO_FOLDER = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'ENAMETOOLONG'])

/** What lies below is the reader's: its own open files and folders; on macOS any file, by its number. */
const OF_READER = /^\/(proc|dev\/(fd\/[^/]+|std(in|out|err))|\.vol)$/

/**
 * Follows the links of a path as the system would, but looks at nothing outside `root`: a look may mount a file
 * system or wait for one. A way out of the root may lead in again, since the folders above it are known by name.
 * Past the end of what is there, the rest of the path is gone by its words: a folder may be made there later. `path` is
 * below the root, or absolute. Paths are bytes, one character each (latin1); `root` is text, without links.
 */
export function resolveLink(root: string, path: string, budget: Budget): Resolved {
  const walk = new Walk(root, budget)
  try {
    return walk.along(path)
  } finally {
    walk.end()
  }
}

class Walk {
  readonly #budget: Budget
  /** The names of the folders that lead to the root. */
  readonly #root: readonly string[]
  #names: string[] = []
  /** One more than names, as far as the folders are there. */
  readonly #held: HeldFolder[]
  #links = 0
  /** Where it is while it is not below the root, by words. */
  #outside: string[] | undefined

  constructor(root: string, budget: Budget) {
    this.#root = Buffer.from(root).toString('latin1').split('/').filter(Boolean)
    this.#budget = budget
    this.#held = [holdFolder(root)]
  }

  along(path: string): Resolved {
    const ahead: string[] = []
    this.#goOn(path, ahead)
    for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
      this.#budget.spend('steps')
      if (this.#outside) {
        if (isOfReader(this.#outside, name)) return { status: 'outside', dependsOnReader: true }
        this.#stepOutside(name, this.#outside)
        continue
      }
      if (name === '..') {
        if (this.#names.length > 0) this.#back()
        else this.#outside = this.#root.slice(0, -1)
        continue
      }
      if (this.#held.length > MAX_DEPTH) return { status: 'unknown' }
      // Most are folders.
      const target = this.#into(name) ? undefined : this.#linkAt(name)
      if (target === undefined) {
        this.#names.push(name)
        continue
      }
      if (++this.#links > MAX_LINKS) return { status: 'nowhere' }
      this.#goOn(target, ahead)
    }
    if (this.#outside) return { status: 'outside', dependsOnReader: false }
    const isThere = this.#held.length >= this.#names.length
    return isThere ? { status: 'inside', path: this.#names.join('/') } : { status: 'nowhere' }
  }

  end(): void {
    for (const folder of this.#held.splice(0)) release(folder)
  }

  #goOn(path: string, ahead: string[]): void {
    if (path.startsWith('/')) {
      while (this.#names.length > 0) this.#back()
      this.#outside = []
    }
    for (const name of path.split('/').reverse()) if (name !== '' && name !== '.') ahead.push(name)
  }

  #stepOutside(name: string, outside: string[]): void {
    if (name === '..') outside.pop()
    else outside.push(name)
    const root = this.#root
    const isRoot =
      outside.length === root.length &&
      outside.every((each, i) => fold(each) === fold(root[i] ?? ''))
    if (isRoot) this.#outside = undefined
  }

  get #folder(): HeldFolder | undefined {
    return this.#held[this.#names.length]
  }

  /** Whether it is a folder, which is held then. */
  #into(name: string): boolean {
    if (!this.#folder) return false
    try {
      this.#held.push(holdIn(this.#folder, bytesOf(name)))
      return true
    } catch (error) {
      // Anything else, such as too many open files, must not pass for a name that is not there.
      if (!NO_FOLDER.has(systemCodeOf(error) ?? '')) throw error
      return false
    }
  }

  #linkAt(name: string): string | undefined {
    if (!this.#folder) return undefined
    try {
      return readlinkSync(pathIn(this.#folder, bytesOf(name)), 'latin1')
    } catch {
      // A file, or nothing; what comes behind it is not there.
      return undefined
    }
  }

  #back(): void {
    const folder = this.#folder
    this.#names.pop()
    if (!folder) return
    release(folder)
    this.#held.pop()
  }
}

function isOfReader(folder: readonly string[], name: string): boolean {
  const path = `/${folder.join('/')}`
  return OF_READER.test(path) || (path === '/dev/fd' && name === '..')
}
