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
 * Looks at everything in a workspace from which the user's own tools would run something without being told to by
 * name. What is in a workspace is not to be trusted: everything is opened before it is judged, no link is followed
 * out of it, and there are bounds to what a look may cost. What was not read to its end is found as well. Never throws.
 */
export function scan(root: string, options: ScanOptions = {}): Findings {
  const { user = NOBODY, limits = LIMITS } = options
  return new Scan(root, user, limits).run()
}

const NOBODY: UserConfig = { pairs: [], files: [], homes: {} }

/**
 * Made by tools in great numbers; what is in them runs when it is called by name. Their own files are looked at, the
 * folders in them are not, unless a repository has files there.
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

/** Of a folder and those above it, the one that is left out. */
function leftOut(path: string): string | undefined {
  const names = path.split('/')
  const at = names.findIndex((name) => LEFT_OUT.has(fold(name)))
  return at < 0 ? undefined : names.slice(0, at + 1).join('/')
}

interface Folder {
  path: string
  /** Set where every file in it is a place. */
  inherited?: Place | undefined
  /** Of one that is left out, only its own files count. */
  isLeftOut?: boolean
  /** Nothing is left out below it: it is git's own, or git has files there. */
  isGits?: boolean
  /** Of a repository, what git has and not what it runs; or another folder that is to pass for that. */
  isObjects?: boolean
}

class Scan {
  readonly #look: Look
  readonly #git: GitScan
  /** Still to be looked into, the upper ones first. */
  readonly #folders: Folder[] = []
  /** Those before all others, or an agent could make so many others that it comes to none of them. */
  readonly #first: Folder[] = []
  readonly #entered = new Set<string>()
  /** Those that were looked into with all that is in them. */
  readonly #searched = new Set<string>()
  /** Those above what a link leads to. */
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

  /** What cannot be read here is noted; only the end of the whole look is passed on. */
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
    // Git itself puts samples there, which do nothing.
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
    // It may lead into what is left out where it is, and make it a folder like any other.
    else if (isLeftOut || LEFT_OUT.has(fold(name)) || this.#searched.has(end.path)) return
    else if (this.#look.kindOf(end.path) === 'folder') {
      this.#folders.push({ path: end.path })
      this.#lookAbove(end.path)
    }
  }

  /** What is there counts for who works below, such as a repository; it may be in what is left out. */
  #lookAbove(path: string): void {
    for (let above = parentOf(path); above && !this.#above.has(above); above = parentOf(above)) {
      this.#above.add(above)
      this.#folders.push({ path: above, isLeftOut: true })
    }
  }

  /** Looks into what may be a link to a folder: the files in it are those that run, wherever they are. */
  #enter(path: string, inherited: Place | undefined, isGits = true): void {
    const end = this.#look.resolveLinks(path)
    if (end.status !== 'inside') {
      if (end.status === 'outside' && inherited) this.#look.lookAt(path, inherited)
      return
    }
    if (end.path !== path && inherited) this.#look.lookAt(path, inherited)
    // Some lead back to where they are.
    const key = `${inherited?.kind} ${isGits} ${end.path}`
    if (this.#entered.has(key)) return
    this.#entered.add(key)
    if (this.#look.kindOf(end.path) === 'folder') {
      this.#first.push({ path: end.path, inherited, isGits })
    }
  }
}

/**
 * A folder that git takes for a repository even without a `.git`. What it has may be elsewhere, where its
 * `commondir` says, and so the config.
 */
function isOfRepository(names: ReadonlySet<string>): boolean {
  if (!names.has(fold('HEAD'))) return false
  return names.has('commondir') || (names.has('objects') && names.has('refs'))
}

/** The folders for objects by the first byte of their names. */
const OF_LOOSE_OBJECTS = /^[0-9a-f]{2}$/

const REPOSITORY_NAMES = new Set(['.git', fold('HEAD'), 'commondir', 'objects', 'refs'])

function isSample(path: string, { kind }: Place): boolean {
  return kind === 'hook' && path.endsWith('.sample') && parentOf(path).endsWith('hooks')
}
