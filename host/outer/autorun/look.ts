import { Budget, type Limits } from './budget.ts'
import { Findings } from './findings.ts'
import type { Place } from './places.ts'
import { type Resolved, resolveLink } from './resolve-link.ts'
import { type Content, digest, Tree } from './tree.ts'

/** Larger files are told apart by size and times, and named as not read. */
const MAX_BYTES = 1024 * 1024

/** What tools cannot write in a container, and so only by another name of it. */
const PINNED = /^\.git(\/config(\.worktree)?|\/(hooks|modules|worktrees)\/.*)?$/s

/** What a look at a workspace is made of. Paths are below the workspace, bytes as latin1. */
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

  /** Notes what is at `path`, or at the end of the links there, as a place. Its bytes, if it is a file that was read. */
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

  /** What is at `path`, links followed, without noting anything but that it cannot be read. */
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
   * Where a path that is written in the folder `base` leads: below the workspace, without links. Undefined when that
   * is outside, where tools cannot write.
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
    if (end.status === 'unknown') this.findings.noteUnread(path, 'it lies too deep')
    return end
  }

  #noteIfOfReader(end: Resolved, path: string, target: string): void {
    if (end.status === 'outside' && end.dependsOnReader) {
      this.findings.noteUnread(path, `it leads to ${target.slice(0, 200)}`)
    }
  }

  /** `state` is that of the links on the way; `at` where they end. */
  #follow(path: string, maxBytes: number): { content: Content; state: string; at?: string } {
    const content = this.tree.read(path, maxBytes)
    if (content.kind !== 'link' && content.kind !== 'nothing')
      return { content, state: '', at: path }
    // It is a link, or there may be one above it.
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
      // A link is something also where it leads to nothing yet.
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
