import { systemCodeOf } from '../../../shared/errors.ts'
import { CutShortError, LIMITS, type Limits } from './budget.ts'
import type { Findings } from './findings.ts'
import { fold } from './fold.ts'
import { GitScan, type UserConfig } from './git-scan.ts'
import { below, Look, parentOf } from './look.ts'
import {
  hasCopies,
  leadsToPlace,
  type Place,
  placeOfFile,
  placeOfFolder,
  WAY_OUT,
} from './places.ts'
import { TooDeepError } from './tree.ts'

export interface ScanOptions {
  user?: UserConfig
  limits?: Limits
}

/**
 * Finds the files in a workspace from which the user's own tools run commands without being told to by name. The
 * contents of a workspace are untrusted: each entry is opened before it is checked, no link is followed out of the
 * workspace, and a scan has a budget. Incompletely read files are reported as well. Never throws.
 */
export function scan(root: string, options: ScanOptions = {}): Findings {
  const { user = NOBODY, limits = LIMITS } = options
  return new Scan(root, user, limits).run()
}

const NOBODY: UserConfig = { pairs: [], files: [], homes: {} }

/**
 * Folders of packages and builds, with many files that run only when called by name. Their direct files are scanned,
 * their subfolders are not, unless a repository has files there.
 */
const LEFT_OUT = new Set([
  'node_modules',
  'bower_components',
  '.venv',
  'venv',
  '.tox',
  '__pycache__',
  'target',
  'dist',
  'build',
  'out',
  '.next',
  '.cache',
  '.gradle',
  '.pnpm-store',
])

/** The topmost left-out folder among a folder and its parents. */
function leftOut(path: string): string | undefined {
  const names = path.split('/')
  const at = names.findIndex((name) => LEFT_OUT.has(fold(name)))
  return at < 0 ? undefined : names.slice(0, at + 1).join('/')
}

interface Folder {
  path: string
  /** Set when every file below counts as this place. */
  inherited?: Place | undefined
  /** Only its direct files are scanned. */
  isLeftOut?: boolean
  /** Belongs to git, or has tracked files: no subfolder is left out. */
  isGits?: boolean
  /** Named as the object store of a repository, whose contents git does not run; it may be a fake. */
  isObjects?: boolean
}

class Scan {
  readonly #look: Look
  readonly #git: GitScan
  /** The queue of folders, breadth first. */
  readonly #folders: Folder[] = []
  /** Scanned before all others: an agent could otherwise exhaust the budget with other folders. */
  readonly #first: Folder[] = []
  readonly #entered = new Set<string>()
  /** Folders that were scanned with their subfolders. */
  readonly #searched = new Set<string>()
  /** Parents of link targets. */
  readonly #above = new Set<string>()

  constructor(root: string, user: UserConfig, limits: Limits) {
    this.#look = new Look(root, limits)
    this.#git = new GitScan(this.#look, user, {
      enter: (path, place) => this.#enter(path, place),
      search: (path) => this.#enter(path, undefined, false),
      searchAll: (path) => this.#enter(path, undefined),
      leftOut,
    })
  }

  run(): Findings {
    const { findings, tree } = this.#look
    try {
      this.#guard('', () => this.#git.lookAtOuter())
      this.#folders.push({ path: '' })
      for (let next = 0; ; ) {
        const folder = this.#first.pop() ?? this.#folders[next++]
        if (!folder) break
        this.#guard(folder.path, () => this.#lookInto(folder))
      }
    } catch (error) {
      findings.isCutShort = true
      const reason = error instanceof CutShortError ? error.message : String(error)
      findings.noteUnread('.', `the look was cut short: ${reason}`)
    } finally {
      tree.end()
    }
    return findings
  }

  /** Notes read errors as findings; rethrows only errors that end the scan. */
  #guard(path: string, act: () => void): void {
    try {
      act()
    } catch (error) {
      const code = systemCodeOf(error)
      if (error instanceof TooDeepError) this.#look.findings.noteUnread(path, 'it lies too deep')
      else if (code !== undefined) {
        const isGone = ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(code)
        const goneReason = path ? 'it was replaced while it was looked at' : 'it is no longer there'
        const reason = isGone ? goneReason : `it cannot be read (${code})`
        this.#look.findings.noteUnread(path, reason)
      } else throw error
    }
  }

  #lookInto(folder: Folder): void {
    const { path, inherited, isLeftOut, isGits } = folder
    if (!inherited) {
      if (this.#searched.has(path) && !isGits) return
      if (!isLeftOut) this.#searched.add(path)
    }
    const names = new Set<string>()
    const inside: Folder[] = []
    const files: [at: string, place: Place][] = []
    const links: string[] = []
    this.#look.tree.list(path, ({ name, kind }) => {
      if (REPOSITORY_NAMES.has(fold(name))) names.add(fold(name))
      if (fold(name) === '.git') return
      if (kind === 'link') links.push(name)
      else if (kind === 'folder') {
        const next = this.#nextFolder(name, folder)
        if (next) inside.push(next)
      } else {
        const place = inherited ?? placeOfFile(name, path)
        if (place) files.push([below(path, name), place])
      }
    })
    if (names.has('.git')) this.#guard(below(path, '.git'), () => this.#git.lookAtDotGit(path))
    const isRepository = isOfRepository(names)
    if (isRepository) this.#git.lookAtRepository(path)
    // `git init` writes sample hooks, which do not run.
    for (const [at, place] of files) if (!isSample(at, place)) this.#look.lookAt(at, place)
    for (const name of links) this.#guard(below(path, name), () => this.#lookAtLink(name, folder))
    for (const next of inside) {
      if (isRepository && next.path === below(path, 'objects')) next.isObjects = true
      if (next.inherited) this.#first.push(next)
      else this.#folders.push(next)
    }
  }

  #nextFolder(name: string, folder: Folder): Folder | undefined {
    const { path, inherited, isLeftOut, isGits, isObjects } = folder
    const place = placeOfFolder(name, path) ?? (hasCopies(name, path) ? undefined : inherited)
    const next = { path: below(path, name), inherited: place, isGits: isGits ?? false }
    if (place) return next
    if (isObjects && OF_LOOSE_OBJECTS.test(name)) return undefined
    if (isLeftOut) return leadsToPlace(name, path) ? { ...next, isLeftOut } : undefined
    return { ...next, isLeftOut: !isGits && LEFT_OUT.has(fold(name)) }
  }

  #lookAtLink(name: string, { path, inherited, isLeftOut }: Folder): void {
    const at = below(path, name)
    const end = this.#look.resolveLinks(at)
    if (end.status === 'outside') {
      this.#look.findings.note(WAY_OUT, at, `link ${this.#look.tree.target(at)}`)
    }
    const ofFolder = inherited ?? placeOfFolder(name, path)
    const place = ofFolder ?? placeOfFile(name, path)
    if (place) this.#look.lookAt(at, place)
    if (end.status !== 'inside') return
    if (ofFolder) this.#enter(end.path, ofFolder)
    // A link may make a left-out folder reachable under another name; scan it like any other.
    else if (isLeftOut || LEFT_OUT.has(fold(name)) || this.#searched.has(end.path)) return
    else if (this.#look.kindOf(end.path) === 'folder') {
      this.#folders.push({ path: end.path })
      this.#lookAbove(end.path)
    }
  }

  /** Queues the parents of a link target: their files, such as a `.git`, affect tools below, even if left out. */
  #lookAbove(path: string): void {
    for (let above = parentOf(path); above && !this.#above.has(above); above = parentOf(above)) {
      this.#above.add(above)
      this.#folders.push({ path: above, isLeftOut: true })
    }
  }

  /** Scans a folder, or the target of a link to one: its files run wherever they are. */
  #enter(path: string, inherited: Place | undefined, isGits = true): void {
    const end = this.#look.resolveLinks(path)
    if (end.status !== 'inside') {
      if (end.status === 'outside' && inherited) this.#look.lookAt(path, inherited)
      return
    }
    if (end.path !== path && inherited) this.#look.lookAt(path, inherited)
    // Links may form a cycle.
    const key = `${inherited?.kind} ${isGits} ${end.path}`
    if (this.#entered.has(key)) return
    this.#entered.add(key)
    if (this.#look.kindOf(end.path) === 'folder') {
      this.#first.push({ path: end.path, inherited, isGits })
    }
  }
}

/**
 * Whether git treats a folder as a repository even without a `.git`. Its objects and config may be elsewhere, at
 * the path in its `commondir`.
 */
function isOfRepository(names: ReadonlySet<string>): boolean {
  if (!names.has(fold('HEAD'))) return false
  return names.has('commondir') || (names.has('objects') && names.has('refs'))
}

/** Folders of loose objects: named by the first byte of the object id. */
const OF_LOOSE_OBJECTS = /^[0-9a-f]{2}$/

const REPOSITORY_NAMES = new Set(['.git', fold('HEAD'), 'commondir', 'objects', 'refs'])

function isSample(path: string, { kind }: Place): boolean {
  return kind === 'hook' && path.endsWith('.sample') && parentOf(path).endsWith('hooks')
}
