import { readlinkSync } from 'node:fs'
import { systemCodeOf } from '../../shared/errors.ts'
import { type HeldFolder, holdFolder, holdIn, pathIn, release } from '../workspace/open-within.ts'
import type { Budget } from './budget.ts'
import { bytesOf, MAX_DEPTH } from './tree.ts'

/** Where a path leads once its links are followed; `path` is below the workspace, without links. */
export type Resolved =
  | { status: 'outside' }
  | { status: 'nowhere' }
  /** Too deep to be followed. */
  | { status: 'unknown' }
  | { status: 'inside'; path: string }

/** As many as Linux follows. */
const MAX_LINKS = 40

const NO_FOLDER = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'ENAMETOOLONG'])

/**
 * Follows the links of a path below `root` as the system would, but not a step beyond it: what lies outside is
 * not even looked at, since a look may mount a file system or wait for one. Past the end of what is there, the
 * rest of the path is gone by its words: a folder may be made there later. Paths are bytes, one character each (latin1).
 */
export function resolveLink(root: string, path: string, budget: Budget): Resolved {
  const walk = new Walk(root, budget)
  try {
    return walk.along(path.split('/'))
  } finally {
    walk.end()
  }
}

class Walk {
  readonly #root: string
  readonly #budget: Budget
  #names: string[] = []
  /** One more than names, as far as the folders are there. */
  readonly #held: HeldFolder[]
  #links = 0

  constructor(root: string, budget: Budget) {
    this.#root = Buffer.from(root).toString('latin1')
    this.#budget = budget
    this.#held = [holdFolder(root)]
  }

  along(path: readonly string[]): Resolved {
    const ahead = [...path].reverse()
    for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
      this.#budget.spend('steps')
      if (name === '' || name === '.') continue
      if (name === '..') {
        if (this.#names.length === 0) return { status: 'outside' }
        this.#back()
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
      const isAbsolute = target.startsWith('/')
      if (isAbsolute) {
        if (target !== this.#root && !target.startsWith(`${this.#root}/`)) {
          return { status: 'outside' }
        }
        while (this.#names.length > 0) this.#back()
      }
      const rest = isAbsolute ? target.slice(this.#root.length) : target
      ahead.push(...rest.split('/').reverse())
    }
    const isThere = this.#held.length >= this.#names.length
    return isThere ? { status: 'inside', path: this.#names.join('/') } : { status: 'nowhere' }
  }

  end(): void {
    for (const folder of this.#held.splice(0)) release(folder)
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
