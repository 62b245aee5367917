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

/** The target of a path after its links; `path` is relative to the workspace, without links. */
export type Resolved =
  /** `dependsOnReader`: the path goes through folders of the opening process, so it may lead into the workspace. */
  | { status: 'outside'; dependsOnReader: boolean }
  | { status: 'nowhere' }
  /** Deeper than `MAX_DEPTH`. */
  | { status: 'unknown'; reason: string }
  | { status: 'inside'; path: string }

/** Linux's limit. */
const MAX_LINKS = 40

const NO_FOLDER = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'ENAMETOOLONG'])

/** Paths below these depend on the opening process: its open files and folders; on macOS any file, by inode number. */
const OF_READER = /^\/(proc|dev\/(fd\/[^/]+|std(in|out|err))|\.vol)$/

/**
 * Follows the links of a path as the system would, but reads nothing outside `root`: an access may mount a file system
 * or block on one. A path may leave the root and enter it again, since the names of the root's parents are known.
 * Behind a missing component the path is resolved lexically: a folder may be created there later. `path` is relative to
 * the root, or absolute. Paths are bytes, one character each (latin1); `root` is text, without links.
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
  /** The components of the root's path. */
  readonly #root: readonly string[]
  #names: string[] = []
  /** The root and the folders of `#names`, as far as they exist. */
  readonly #held: HeldFolder[]
  #links = 0
  #isForbidden = false
  /** The lexical path while outside the root. */
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
      if (this.#held.length > MAX_DEPTH) return { status: 'unknown', reason: 'it lies too deep' }
      // Tried first: most components are folders.
      const target = this.#into(name) ? undefined : this.#linkAt(name)
      if (this.#isForbidden) return { status: 'unknown', reason: 'it cannot be read (EACCES)' }
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

  /** Opens a folder and steps into it. False when it is no folder. */
  #into(name: string): boolean {
    if (!this.#folder) return false
    try {
      this.#held.push(holdIn(this.#folder, bytesOf(name)))
      return true
    } catch (error) {
      // Any other error, such as too many open files, must not count as a missing folder.
      this.#isForbidden = systemCodeOf(error) === 'EACCES'
      if (!NO_FOLDER.has(systemCodeOf(error) ?? '')) throw error
      return false
    }
  }

  #linkAt(name: string): string | undefined {
    if (!this.#folder) return undefined
    try {
      return readlinkSync(pathIn(this.#folder, bytesOf(name)), 'latin1')
    } catch {
      // A file, or missing: the following components do not exist.
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
