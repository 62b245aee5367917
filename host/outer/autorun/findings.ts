import type { Kind } from './kinds.ts'
import type { Place } from './places.ts'

export interface Found {
  kind: Kind
  /** Below the workspace. Bytes, one character each (latin1). */
  path: string
  why: string
}

/** What tells the content of a place from another one, by place. */
export type States = Record<string, string>

/** More of one kind are only counted as unread, so that those of one kind leave room for the others. */
const MAX_OF_KIND = 5000

/** What a look has found. */
export class Findings {
  readonly found = new Map<string, Found & { states: Set<string> }>()
  /** What was not read to its end, with the reason. */
  readonly unread = new Map<string, string>()
  /** Files that tools cannot write, which another name leads to that they can. */
  readonly hardLinks = new Set<string>()
  /** Whether the look has ended before it was through. */
  isCutShort = false
  readonly #counts = new Map<Kind, number>()
  /** What was not read of the workspace as a whole: one reason for each thing, so that none takes the place of another. */
  readonly #ofWhole = new Map<string, string>()

  note({ kind, why }: Place, path: string, state: string): void {
    const key = `${kind} ${path}`
    const known = this.found.get(key)
    if (known) {
      // It may count for several reasons, such as attributes for the file and for what the index has of it.
      known.states.add(state)
      return
    }
    const count = (this.#counts.get(kind) ?? 0) + 1
    this.#counts.set(kind, count)
    if (count > MAX_OF_KIND) {
      this.#noteOfWhole(kind, `there are more than ${MAX_OF_KIND} files of the kind "${kind}"`)
      return
    }
    this.found.set(key, { kind, path, why, states: new Set([state]) })
  }

  noteUnread(path: string, reason: string): void {
    if (path === '.' || path === '') this.#noteOfWhole(path, reason)
    else if (this.unread.size < MAX_OF_KIND) this.unread.set(path, reason)
    else this.#noteOfWhole('unread', `there are more than ${MAX_OF_KIND} files that were not read`)
  }

  #noteOfWhole(about: string, reason: string): void {
    this.#ofWhole.set(about, reason)
    this.unread.set('.', [...this.#ofWhole.values()].join('; '))
  }

  /** What the next look is compared with; what was not read as well, to tell what is new of it. */
  get states(): States {
    return Object.fromEntries([
      // In whichever order they were come by.
      ...[...this.found].map(([key, { states }]) => [key, [...states].sort().join(' ')]),
      ...[...this.unread].map(([path, reason]) => [`unread ${path}`, reason]),
    ])
  }
}
