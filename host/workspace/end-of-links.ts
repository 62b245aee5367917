import { readlinkSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { systemCodeOf } from '../../shared/errors.ts'
import { type HeldFolder, holdFolder, holdIn, pathIn, release } from './open-within.ts'

/** Where a path leads once its links are followed; `path` is below the workspace, without links. */
export type EndOfLinks =
  | { status: 'outside' }
  | { status: 'nowhere' }
  | { status: 'inside'; path: string }

/** As many as Linux follows. */
const MAX_LINKS = 40

/** Each is an open file. */
const MAX_HELD = 64

/**
 * Follows the links of a path below `root` as the system would, but not a step beyond it: what lies outside is
 * not even looked at, since a look may mount a file system or wait for one. Past the end of what is there, the
 * rest of the path is gone by its words: a folder may be made there later.
 */
export function endOfLinks(root: string, path: string): EndOfLinks {
  const walk = new Walk(root)
  try {
    return walk.along(path.split('/'))
  } finally {
    walk.end()
  }
}

class Walk {
  readonly #root: string
  #names: string[] = []
  /** One more than names, as far as the folders are there. */
  readonly #held: HeldFolder[]
  #links = 0

  constructor(root: string) {
    this.#root = root
    this.#held = [holdFolder(root)]
  }

  along(path: readonly string[]): EndOfLinks {
    const ahead = [...path].reverse()
    for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
      if (name === '' || name === '.') continue
      if (name === '..') {
        if (this.#names.length === 0) return { status: 'outside' }
        this.#back()
        continue
      }
      // Most are folders.
      const target = this.#into(name) ? undefined : this.#linkAt(name)
      if (target === undefined) {
        this.#names.push(name)
        continue
      }
      if (++this.#links > MAX_LINKS) return { status: 'nowhere' }
      if (isAbsolute(target)) {
        if (!target.startsWith(`${this.#root}/`)) return { status: 'outside' }
        while (this.#names.length > 0) this.#back()
      }
      const rest = isAbsolute(target) ? target.slice(this.#root.length) : target
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
    if (!this.#folder || this.#held.length > MAX_HELD) return false
    try {
      this.#held.push(holdIn(this.#folder, name))
      return true
    } catch (error) {
      if (systemCodeOf(error) === undefined) throw error
      return false
    }
  }

  #linkAt(name: string): string | undefined {
    if (!this.#folder) return undefined
    try {
      return readlinkSync(pathIn(this.#folder, name))
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
