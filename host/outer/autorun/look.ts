import { Budget, type Limits } from './budget.ts'
import { Findings } from './findings.ts'
import type { Place } from './places.ts'
import { type Resolved, resolveLink } from './resolve-link.ts'
import { type Content, digest, Tree } from './tree.ts'

/** Larger files are compared by size and times, and reported as unread. */
const MAX_BYTES = 1024 * 1024

/** Paths that are read-only in the container: tools can change them only through a hard link. */
const PINNED = /^\.git(\/config(\.worktree)?|\/(hooks|modules|worktrees)\/.*)?$/s

/** The shared state of one scan. Paths are relative to the workspace, bytes as latin1. */
export class Look {
  readonly findings = new Findings()
  readonly tree: Tree
  readonly #budget: Budget

  constructor(root: string, limits: Limits) {
    this.#budget = new Budget(limits)
    this.tree = new Tree(root, this.#budget)
  }

  get budget(): Budget {
    return this.#budget
  }

  /** Records the file at `path`, links followed, as a finding. Returns its bytes, if it was read. */
  lookAt(path: string, place: Place, maxBytes = MAX_BYTES): Buffer | undefined {
    const { content, state, at } = this.#follow(path, maxBytes)
    if (at !== undefined && 'names' in content && content.names > 1 && PINNED.test(at)) {
      this.findings.hardLinks.add(at)
    }
    switch (content.kind) {
      case 'nothing':
        break
      case 'folder':
      case 'link':
        if (state) this.findings.note(place, path, state)
        break
      case 'unread':
        this.findings.note(place, path, `${state} ${content.state}`)
        this.findings.noteUnread(path, content.reason)
        break
      case 'file': {
        const { bytes, isExecutable } = content
        const text = place.commandsIn ? place.commandsIn(bytes.toString('latin1')) : bytes
        if (text !== undefined) {
          this.findings.note(place, path, `${state} ${digest(text)}${isExecutable ? ' x' : ''}`)
        }
        return bytes
      }
    }
    return undefined
  }

  /** Reads the file at `path`, links followed. Records only that it cannot be read. */
  read(path: string, maxBytes: number): Buffer | undefined {
    const { content, at } = this.#follow(path, maxBytes)
    if (content.kind === 'unread') this.findings.noteUnread(path, content.reason)
    if (content.kind === 'link' && at === undefined) {
      this.findings.noteUnread(path, 'it is a link that leads out of the workspace, or in a circle')
    }
    return content.kind === 'file' ? content.bytes : undefined
  }

  kindOf(path: string): Content['kind'] {
    return this.tree.read(path, 0).kind
  }

  /**
   * Resolves a path relative to the folder `base`: the result is relative to the workspace, without links. Undefined
   * when it is outside, where tools cannot write.
   */
  resolve(base: string, written: string): string | undefined {
    const end = this.resolveLinks(pathFrom(base, written))
    this.#noteIfOfReader(end, base, written)
    return end.status === 'inside' ? end.path : undefined
  }

  leadsOut(base: string, written: string): boolean {
    return this.resolveLinks(pathFrom(base, written)).status === 'outside'
  }

  resolveLinks(path: string): Resolved {
    const end = resolveLink(this.tree.root, path, this.#budget)
    if (end.status === 'unknown') this.findings.noteUnread(path, end.reason)
    return end
  }

  #noteIfOfReader(end: Resolved, path: string, target: string): void {
    if (end.status === 'outside' && end.dependsOnReader) {
      this.findings.noteUnread(path, `it leads to ${target.slice(0, 200)}`)
    }
  }

  /** `state`: the links on the path; `at`: their target. */
  #follow(path: string, maxBytes: number): { content: Content; state: string; at?: string } {
    const content = this.tree.read(path, maxBytes)
    if (content.kind !== 'link' && content.kind !== 'nothing')
      return { content, state: '', at: path }
    // The path is a link, or one of its parents may be.
    const end = this.resolveLinks(path)
    const target = content.kind === 'link' ? content.target : ''
    this.#noteIfOfReader(end, path, target)
    if (end.status !== 'inside') {
      const isLink = content.kind === 'link' || end.status === 'outside'
      return { content: isLink ? { kind: 'link', target } : content, state: `link ${target}` }
    }
    if (end.path === path) return { content, state: '' }
    const behind = this.tree.read(end.path, maxBytes)
    return {
      // A dangling link counts: its target may be created later.
      content: behind.kind === 'nothing' ? content : behind,
      state: `link ${target} ${end.path}`,
      at: end.path,
    }
  }
}

const pathFrom = (base: string, written: string) =>
  written.startsWith('/') ? written : below(base, written)

export const below = (path: string, name: string) => (path ? `${path}/${name}` : name)

export const parentOf = (path: string) => path.slice(0, Math.max(0, path.lastIndexOf('/')))
