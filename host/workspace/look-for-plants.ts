import { createHash } from 'node:crypto'
import { closeSync, type Dirent, fstatSync, opendirSync, readlinkSync } from 'node:fs'
import { isAbsolute, join, relative, resolve, sep } from 'node:path'
import { systemCodeOf } from '../../shared/errors.ts'
import { endOfLinks } from './end-of-links.ts'
import { gitlinks } from './gitlinks.ts'
import {
  type HeldFolder,
  holdFolder,
  holdIn,
  openIn,
  pathIn,
  readRegular,
  readWithin,
  release,
} from './open-within.ts'
import {
  CONFIG,
  FILES,
  FOLDERS,
  HOOKS,
  IDEA_FILES,
  type PlantingPlace,
  REPOSITORY_ELSEWHERE,
  REPOSITORY_FILES,
  WAY_OUT,
} from './planting-places.ts'

/** The places of a workspace from which commands may run later, as they are at one time. */
export interface Plants {
  /** By path below the workspace: why it matters, and what tells it from another content. */
  places: ReadonlyMap<string, { why: string; state: string }>
  /** Whether all was looked at that should be; not where there is too much of it. */
  isComplete: boolean
}

/**
 * Looks at all places from which the user's own tools would run something without being told to by
 * name. What is in a workspace is not to be trusted: everything is opened before it is judged, no
 * link is followed out of it, and there are bounds to what is looked at. Never throws.
 */
export function lookForPlants(root: string): Plants {
  const look = new Look(root)
  try {
    look.walk()
  } catch {
    // Whatever it is: a look that fails is no reason for a run to fail.
    look.isComplete = false
  }
  return look
}

/** The places that are new or different, and what keeps us from knowing them all. */
export function changedPlants(before: Plants, after: Plants): { path: string; why: string }[] {
  const changed = [...after.places]
    .filter(([path, { state }]) => before.places.get(path)?.state !== state)
    .map(([path, { why }]) => ({ path, why }))
    .sort((one, other) => (one.path < other.path ? -1 : 1))
  if (before.isComplete && !after.isComplete) {
    changed.push({ path: '.', why: 'the workspace has become too large to look at all of it' })
  }
  return changed
}

/** How far below the workspace folders are looked into. */
const MAX_DEPTH = 6

/** Bounds of one look, so that it ends within a tenth of a second on whatever is there. */
const MAX_FOLDERS = 1000
const MAX_ENTRIES = 15_000
const MAX_ENTRIES_IN_FOLDER = 5000
const MAX_PLACES = 1000

/** A link to be followed counts as so many entries: it takes as long. */
const LINK_ENTRIES = 5

const MAX_SUBMODULES = 200

/** Of a hundred thousand files, about. */
const MAX_INDEX_BYTES = 16 * 1024 * 1024

/** Larger files are told apart by size and times. */
const MAX_BYTES = 64 * 1024

/** Made by tools in great numbers; what is in them runs when it is called by name. */
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

interface Folder {
  path: string
  depth: number
  /** Set where every file in it is a place. */
  inherited: PlantingPlace | undefined
}

class Look implements Plants {
  readonly places = new Map<string, { why: string; state: string }>()
  isComplete = true
  readonly #root: string
  /** Still to be looked into, the upper ones first. */
  readonly #folders: Folder[] = []
  /** Those before all others, or an agent could make so many others that it comes to none of them. */
  readonly #placeFolders: Folder[] = []
  readonly #submodules = new Set<string>()
  readonly #entered = new Set<string>()
  #entries = 0

  constructor(root: string) {
    this.#root = root
  }

  walk(): void {
    this.#folders.push({ path: '', depth: 0, inherited: undefined })
    for (let looked = 0; ; looked++) {
      const folder = this.#placeFolders.shift() ?? this.#folders.shift()
      if (!folder) break
      if (looked >= MAX_FOLDERS || this.#entries > MAX_ENTRIES) {
        this.isComplete = false
        break
      }
      this.#within(folder.path, (held) => this.#lookInto(held, folder))
    }
  }

  /** Holds the folder at `path`, step by step from the workspace on; one that is gone or a link is left out. */
  #within(path: string, act: (held: HeldFolder) => void): void {
    let held: HeldFolder | undefined
    try {
      held = holdFolder(this.#root)
      for (const name of path.split('/').filter(Boolean)) {
        const next = holdIn(held, name)
        release(held)
        held = next
      }
      act(held)
    } catch (error) {
      const code = systemCodeOf(error)
      if (code === undefined) throw error
      // What is gone, or no folder, holds nothing; what we may not read the user's tools cannot either.
      const isNothing = ['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EPERM'].includes(code)
      if (path === '' || !isNothing) this.isComplete = false
    } finally {
      if (held) release(held)
    }
  }

  #lookInto(held: HeldFolder, folder: Folder): void {
    const { path } = folder
    const { entries, isWhole } = this.#list(held)
    const names = new Set(entries.map(({ name }) => name))
    if (isRepository(names)) this.#lookAtRepository(held, path)
    for (const entry of entries) {
      const { name } = entry
      const at = below(path, name)
      if (entry.isDirectory()) {
        this.#meetFolder(name, folder)
        continue
      }
      const isLink = entry.isSymbolicLink()
      if (isLink) this.#lookAtLink(held, name, at)
      const ofFolder = folder.inherited ?? (isLink ? folderPlaceOf(at) : undefined)
      const place = ofFolder ?? placeOf(name, path)
      if (place) this.#lookAt(held, name, at, place)
      if (ofFolder && isLink) this.#enter(at, ofFolder, folder.depth + 1)
    }
    if (isWhole) return
    // Too many to list: what matters is looked for by its name.
    this.isComplete = false
    for (const [name, place] of Object.entries(FILES)) {
      if (!names.has(name)) this.#lookAt(held, name, below(path, name), place)
    }
    for (const name of ['.git', ...Object.keys(FOLDERS)]) {
      if (!names.has(name)) this.#meetFolder(name, folder)
    }
  }

  #meetFolder(name: string, { path, depth, inherited }: Folder): void {
    const at = below(path, name)
    if (name === '.git') {
      this.#within(at, (held) => this.#lookAtRepository(held, at))
      return
    }
    const place = folderPlaceOf(at) ?? inherited
    if (depth < MAX_DEPTH && (place || !LEFT_OUT.has(name))) {
      const folders = place ? this.#placeFolders : this.#folders
      folders.push({ path: at, depth: depth + 1, inherited: place })
    }
  }

  #list(held: HeldFolder): { entries: Dirent[]; isWhole: boolean } {
    const entries: Dirent[] = []
    const folder = opendirSync(pathIn(held), { bufferSize: 512 })
    try {
      for (;;) {
        const entry = folder.readSync()
        if (!entry) return { entries, isWhole: true }
        if (entries.length >= MAX_ENTRIES_IN_FOLDER) return { entries, isWhole: false }
        entries.push(entry)
        this.#entries++
      }
    } finally {
      folder.closeSync()
    }
  }

  #lookAtRepository(held: HeldFolder, path: string): void {
    for (const [name, place] of Object.entries(REPOSITORY_FILES)) {
      if (!name.includes('/')) this.#lookAt(held, name, below(path, name), place)
    }
    this.#within(below(path, 'info'), (info) => {
      const place = REPOSITORY_FILES['info/attributes']
      if (place) this.#lookAt(info, 'attributes', below(path, 'info/attributes'), place)
    })
    this.#within(below(path, 'hooks'), (hooks) => {
      for (const { name } of this.#list(hooks).entries) {
        // Git itself puts these there; they do nothing.
        if (!name.endsWith('.sample'))
          this.#lookAt(hooks, name, below(path, `hooks/${name}`), HOOKS)
      }
    })
    // A link in the place of the folder.
    this.#lookAt(held, 'hooks', below(path, 'hooks'), HOOKS)
    if (targetIn(held, 'hooks') !== undefined) this.#enter(below(path, 'hooks'), HOOKS, MAX_DEPTH)
    if (path === '.git') this.#lookWhereConfigLeads()
    if (path.endsWith('.git')) this.#lookAtSubmodules(path)
  }

  /** Git asks them all, also where we do not look otherwise. */
  #lookAtSubmodules(path: string): void {
    const config = readWithin(this.#root, `${path}/config`, MAX_BYTES)?.toString() ?? ''
    const index = readWithin(this.#root, `${path}/index`, MAX_INDEX_BYTES)
    if (!index) return
    for (const name of gitlinks(index, /objectformat\s*=\s*sha256/i.test(config) ? 32 : 20)) {
      const at = path.slice(0, -'.git'.length) + name
      if (this.#submodules.has(at) || name.split('/').includes('..')) continue
      if (this.#submodules.size >= MAX_SUBMODULES) {
        this.isComplete = false
        return
      }
      this.#submodules.add(at)
      this.#within(at, (held) => this.#lookAt(held, '.git', `${at}/.git`, REPOSITORY_ELSEWHERE))
      this.#within(`${at}/.git`, (held) => this.#lookAtRepository(held, `${at}/.git`))
    }
  }

  /** Many projects keep their hooks, or a part of the config, among their files. */
  #lookWhereConfigLeads(): void {
    const config = readWithin(this.#root, '.git/config', MAX_BYTES)?.toString() ?? ''
    for (const [, key = '', value = ''] of config.matchAll(/^\s*(hookspath|path)\s*=\s*(.*)$/gim)) {
      const named = value.trim().replace(/^"(.*)"$/, '$1')
      const isHooks = key.toLowerCase() === 'hookspath'
      // Git looks for hooks from the top of the files, for what is included from the config.
      const from = isHooks ? this.#root : join(this.#root, '.git')
      const path = relative(this.#root, resolve(from, named)).split(sep).join('/')
      if (path === '' || path.startsWith('..') || isAbsolute(path)) continue
      if (isHooks) this.#enter(path, HOOKS, MAX_DEPTH)
      else {
        this.#within(parentOf(path), (held) => this.#lookAt(held, lastOf(path), path, CONFIG))
      }
    }
  }

  #lookAtLink(held: HeldFolder, name: string, at: string): void {
    this.#entries += LINK_ENTRIES
    if (endOfLinks(this.#root, at).status !== 'outside') return
    this.#note(at, WAY_OUT, `${LINK} ${targetIn(held, name)}`)
  }

  /** What is called `name`, if it is anything but a folder; of a link, also what it leads to. */
  #lookAt(held: HeldFolder, name: string, at: string, place: PlantingPlace): void {
    const state = stateOf(held, name, place)
    if (state === undefined) return
    this.#note(
      at,
      place,
      state.startsWith(LINK) ? `${state}: ${this.#stateBehind(at, place)}` : state,
    )
  }

  #stateBehind(link: string, place: PlantingPlace): string | undefined {
    const end = endOfLinks(this.#root, link)
    if (end.status !== 'inside') return end.status
    let state: string | undefined
    this.#within(parentOf(end.path), (held) => {
      state = stateOf(held, lastOf(end.path), place)
    })
    return state
  }

  /** Looks into what may be a link to a folder: the files in it are those that run, wherever they are. */
  #enter(path: string, inherited: PlantingPlace, depth: number): void {
    const end = endOfLinks(this.#root, path)
    if (end.status !== 'inside' || depth > MAX_DEPTH) return
    // Some lead back to where they are.
    if (this.#entered.has(end.path)) return
    this.#entered.add(end.path)
    this.#placeFolders.push({ path: end.path, depth, inherited })
  }

  #note(at: string, { why }: PlantingPlace, state: string): void {
    if (this.places.size >= MAX_PLACES) this.isComplete = false
    else this.places.set(at, { why, state })
  }
}

const LINK = 'link'

/** Undefined when there is nothing that could run. */
function stateOf(held: HeldFolder, name: string, place: PlantingPlace): string | undefined {
  let descriptor: number
  try {
    descriptor = openIn(held, name)
  } catch (error) {
    return stateOfUnopened(held, name, error)
  }
  try {
    const stats = fstatSync(descriptor)
    if (stats.isDirectory()) return undefined
    const mode = (stats.mode & 0o111) === 0 ? '' : ' x'
    const bytes = readRegular(descriptor, MAX_BYTES)
    if (!bytes) return `${stats.ino} ${stats.size} ${stats.mtimeMs} ${stats.ctimeMs}${mode}`
    const text = place.commandsIn ? place.commandsIn(bytes.toString('utf8')) : bytes
    return text === undefined ? undefined : createHash('sha256').update(text).digest('hex') + mode
  } catch (error) {
    return `cannot be read (${systemCodeOf(error)})`
  } finally {
    closeSync(descriptor)
  }
}

function stateOfUnopened(held: HeldFolder, name: string, error: unknown): string | undefined {
  const code = systemCodeOf(error)
  if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG') return undefined
  if (code !== 'ELOOP') return `cannot be opened (${code})`
  return `${LINK} ${targetIn(held, name)}`
}

/** Of a link; undefined for anything else. */
function targetIn(held: HeldFolder, name: string): string | undefined {
  try {
    return readlinkSync(pathIn(held, name))
  } catch {
    return undefined
  }
}

function placeOf(name: string, path: string): PlantingPlace | undefined {
  if (Object.hasOwn(FILES, name)) return FILES[name]
  if (name === '.git') return REPOSITORY_ELSEWHERE
  if (name.endsWith('.code-workspace')) return FOLDERS['.vscode']
  const isOfIdea = path.split('/').at(-1) === '.idea' && IDEA_FILES.includes(name)
  return isOfIdea ? FOLDERS['.run'] : undefined
}

function folderPlaceOf(path: string): PlantingPlace | undefined {
  const names = path.split('/')
  const ends = [names.slice(-1).join('/'), names.slice(-2).join('/')]
  const end = ends.find((end) => Object.hasOwn(FOLDERS, end))
  return end === undefined ? undefined : FOLDERS[end]
}

/**
 * A folder that git takes for a repository even without a `.git`. What it has may be elsewhere, where its
 * `commondir` says, and so the config.
 */
function isRepository(names: ReadonlySet<string>): boolean {
  if (!names.has('HEAD')) return false
  return names.has('commondir') || (names.has('objects') && names.has('refs'))
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}

function lastOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

function below(path: string, name: string): string {
  return path ? `${path}/${name}` : name
}
