import type { Kind } from './kinds.ts'
import type { Place } from './places.ts'

export interface Found {
  kind: Kind
  /** Below the workspace. Bytes, one character each (latin1). */
  path: string
  why: string
}

/** Identifies each finding's content, by path. */
export type States = Record<string, string>

/** Further files of one kind count as unread, so that they leave room for other kinds. */
const MAX_OF_KIND = 5000

/** The result of a scan. */
export class Findings {
  readonly found = new Map<string, Found & { states: Set<string> }>()
  /** Incompletely read paths, with the reason. */
  readonly unread = new Map<string, string>()
  /** Read-only files with a hard link that tools may be able to write. */
  readonly hardLinks = new Set<string>()
  /** Whether the scan ended early. */
  isCutShort = false
  readonly #counts = new Map<Kind, number>()
  /** Reasons of the workspace as a whole: all are kept, so that none replaces another. */
  readonly #ofWhole = new Map<string, string>()

  note({ kind, why }: Place, path: string, state: string): void {
    const key = `${kind} ${path}`
    const known = this.found.get(key)
    if (known) {
      // A path may have several findings, such as attributes in the file and in the index.
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

  /** The input of the next comparison; includes unread paths, to recognise new ones. */
  get states(): States {
    return Object.fromEntries([
      // Sorted: the order of discovery must not count as a change.
      ...[...this.found].map(([key, { states }]) => [key, [...states].sort().join(' ')]),
      ...[...this.unread].map(([path, reason]) => [`unread ${path}`, reason]),
    ])
  }
}
