import { isHarmless } from './commands-in.ts'
import { gitConfigPairs, type Pair } from './git-config.ts'
import { type GitIndex, readGitIndex } from './git-index.ts'
import { below, type Look, parentOf } from './look.ts'
import {
  ATTRIBUTES,
  CONFIG,
  HOOK,
  type Place,
  PROGRAM,
  REPOSITORY_ELSEWHERE,
  REPOSITORY_FILES,
} from './places.ts'
import { bytesOf, digest } from './tree.ts'

/** Git reads no larger `.git` file. */
const MAX_DOT_GIT_BYTES = 1024 * 1024

/** Of 700 000 files, about. */
const MAX_INDEX_BYTES = 64 * 1024 * 1024

/** What the user's own configs say, and which of them lie in the workspace (absolute paths). */
export interface UserConfig {
  pairs: readonly Pair[]
  files: readonly string[]
  /** The home folder, for which a path has `~`. */
  home: string
}

/** Finds what git runs of the repositories in a workspace, by reading what git reads. */
export class GitScan {
  readonly #look: Look
  readonly #user: UserConfig
  /** Has the files of a folder, which may be a link, noted as such places. */
  readonly #enter: (path: string, place: Place) => void
  /** Has a folder looked into for more repositories, whatever its name. */
  readonly #search: (path: string) => void
  readonly #seen = new Set<string>()
  readonly #configs = new Map<string, readonly Pair[]>()
  #userPairs: readonly Pair[] | undefined

  constructor(
    look: Look,
    user: UserConfig,
    to: { enter: (path: string, place: Place) => void; search: (path: string) => void },
  ) {
    this.#look = look
    this.#user = user
    this.#enter = to.enter
    this.#search = to.search
  }

  /** What is called `.git` in the folder `top`: a repository, or what leads to one. */
  lookAtDotGit(top: string): void {
    const path = below(top, '.git')
    if (this.#look.kindOf(path) === 'folder') {
      this.lookAtRepository(path, top)
      return
    }
    const bytes = this.#look.lookAt(path, REPOSITORY_ELSEWHERE, MAX_DOT_GIT_BYTES)
    const end = this.#look.resolve('', path)
    if (bytes) {
      const line = lineOf(bytes)
      const led = line.startsWith(GITDIR) && this.#look.resolve(top, line.slice(GITDIR.length))
      if (led) this.lookAtRepository(led, top)
    } else if (end !== undefined && this.#look.kindOf(end) === 'folder') {
      this.lookAtRepository(end, top)
    }
  }

  /** The repository that the folder `path` is, for files in `top`; without it, the config says where they are. */
  lookAtRepository(path: string, top?: string): void {
    const key = `${path}\0${top}`
    if (this.#seen.has(key)) return
    this.#seen.add(key)
    this.#look.budget.spend('repositories')
    for (const [name, place] of Object.entries(REPOSITORY_FILES)) {
      this.#look.lookAt(below(path, name), place)
    }
    const common = this.#commonOf(path)
    const configs = new Set<string>()
    this.#addConfig(below(path, 'config'), configs)
    this.#addConfig(below(path, 'config.worktree'), configs)
    for (const folder of new Set([path, common])) {
      if (folder !== path) {
        this.#look.lookAt(below(folder, 'info/attributes'), ATTRIBUTES)
        this.#addConfig(below(folder, 'config'), configs)
      }
      this.#enter(below(folder, 'hooks'), HOOK)
      this.#search(below(folder, 'modules'))
      this.#search(below(folder, 'worktrees'))
    }
    const pairs = this.#pairsOf(configs)
    const tops = this.#topsOf(path, top, pairs)
    for (const pair of pairs) this.#lookAtNamed(pair, path, tops)
    for (const pair of this.#ofUser()) this.#lookAtNamed(pair, path, tops)
    this.#lookAtIndex(path, tops)
  }

  #commonOf(path: string): string {
    const written = this.#look.read(below(path, 'commondir'), MAX_DOT_GIT_BYTES)
    if (!written) return path
    return this.#look.resolve(path, lineOf(written)) ?? path
  }

  /** From where relative paths of a config count. */
  #topsOf(path: string, top: string | undefined, pairs: readonly Pair[]): Set<string> {
    const tops = new Set([path])
    if (top !== undefined) tops.add(top)
    for (const { key, value } of pairs) {
      const written = key === 'core.worktree' ? this.#look.resolve(path, value) : undefined
      if (written !== undefined) tops.add(written)
    }
    return tops
  }

  /** Adds a config, with those that it includes under whatever condition, each once. */
  #addConfig(path: string, configs: Set<string>): void {
    if (configs.has(path)) return
    configs.add(path)
    for (const pair of this.#config(path)) {
      if (!isInclude(pair)) continue
      const included = this.#look.resolve(parentOf(path), this.#atHome(pair.value))
      if (included !== undefined) this.#addConfig(included, configs)
    }
  }

  #config(path: string): readonly Pair[] {
    const known = this.#configs.get(path)
    if (known) return known
    const bytes = this.#look.lookAt(path, CONFIG)
    const { pairs, isBroken } = gitConfigPairs(bytes?.toString('latin1') ?? '')
    if (isBroken) this.#look.findings.noteUnread(path, 'as a git config it breaks off')
    this.#look.budget.spend('steps', pairs.length)
    this.#configs.set(path, pairs)
    return pairs
  }

  #pairsOf(configs: ReadonlySet<string>): Pair[] {
    return [...configs].flatMap((path) => this.#config(path))
  }

  #ofUser(): readonly Pair[] {
    if (this.#userPairs) return this.#userPairs
    const configs = new Set<string>()
    for (const file of this.#user.files) {
      const path = this.#look.resolve('', file)
      if (path !== undefined) this.#addConfig(path, configs)
    }
    this.#userPairs = [...this.#user.pairs, ...this.#pairsOf(configs)]
    return this.#userPairs
  }

  #atHome(path: string): string {
    return path.startsWith('~/') ? this.#user.home + path.slice(1) : path
  }

  /** What a line of a config names in the workspace: hooks, attributes, programs. */
  #lookAtNamed(pair: Pair, gitDir: string, tops: ReadonlySet<string>): void {
    const { key, value } = pair
    // An alias is called by its name.
    if (isHarmless(pair) || isInclude(pair) || key.startsWith('alias.')) return
    const written = this.#atHome(value)
    for (const top of tops) {
      if (key === 'core.hookspath') {
        const path = this.#look.resolve(top, written)
        if (path !== undefined) this.#enter(path, HOOK)
      } else if (key === 'core.attributesfile') {
        const path = this.#look.resolve(top, written)
        if (path !== undefined) this.#look.lookAt(path, ATTRIBUTES)
      } else {
        for (const word of wordsOf(written)) {
          // In a repository itself commands run only where there are no files; it has files of any name.
          if (top !== gitDir || word.includes('/')) this.#lookAtProgram(word, top)
        }
      }
    }
  }

  #lookAtProgram(word: string, top: string): void {
    const key = `${word}\0\0${top}`
    if (this.#seen.has(key)) return
    this.#seen.add(key)
    const path = this.#look.resolve(top, word)
    if (path && this.#look.kindOf(path) !== 'folder') this.#look.lookAt(path, PROGRAM)
  }

  #lookAtIndex(path: string, tops: ReadonlySet<string>): void {
    const at = below(path, 'index')
    const bytes = this.#look.read(at, MAX_INDEX_BYTES)
    if (!bytes) return
    const index = readGitIndex(bytes, (id) =>
      this.#look.read(below(path, `sharedindex.${id}`), MAX_INDEX_BYTES),
    )
    if (index.unread !== undefined) {
      this.#look.findings.noteUnread(
        at,
        `what it tells git to look at is not known: ${index.unread}`,
      )
    }
    for (const top of tops) if (top !== path || tops.size === 1) this.#lookAtEntries(index, top)
  }

  #lookAtEntries({ gitlinks, folders, attributes }: GitIndex, top: string): void {
    for (const name of gitlinks) {
      const path = this.#look.resolve(top, name)
      if (path !== undefined) this.lookAtDotGit(path)
    }
    for (const name of folders) {
      const path = this.#look.resolve(top, name)
      if (path !== undefined && this.#look.kindOf(path) === 'folder') {
        this.#look.findings.noteUnread(
          path,
          'the index has it as a whole (a sparse index), and what git finds in it was not read',
        )
      }
    }
    for (const [name, id] of attributes) {
      const path = below(top, name)
      if (this.#look.kindOf(path) === 'nothing') {
        this.#look.findings.note(ATTRIBUTES, path, `in the index: ${digest(bytesOf(id))}`)
      }
    }
  }
}

const isInclude = ({ key }: Pair) => /^include(if\..*)?\.path$/s.test(key)

const GITDIR = 'gitdir: '

/** As git takes it: to the first zero, without the ends of lines behind it. */
function lineOf(bytes: Buffer): string {
  const zero = bytes.indexOf(0)
  let end = zero < 0 ? bytes.length : zero
  while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end--
  return bytes.toString('latin1', 0, end)
}

/** What of a command may be the path of a program, or of what an interpreter is to run. Too many are no harm. */
export function wordsOf(command: string): string[] {
  // A space that is quoted does not end a word.
  const quoted = [...command.matchAll(/(["'])(.*?)\1/gs)].map(([, , inside = '']) => inside)
  const words = command
    .replaceAll('\\ ', '\0')
    .split(/[\s"'`$(){};|&<>=,!]+/)
    .map((word) => word.replaceAll('\0', ' '))
    .filter(Boolean)
  // The first one is looked for in the user's PATH if it is no path.
  const paths = words.filter((word, i) => word.includes('/') || (i > 0 && !word.startsWith('-')))
  const all = [...paths, ...quoted.filter((word) => word.includes('/'))]
  return /[$`~]/.test(command) ? all.flatMap(withEnds) : all
}

/** `DIR/tools/x` may stand for `$DIR/tools/x`, of which we know the end only. */
function withEnds(path: string): string[] {
  const names = path.split('/')
  const count = Math.min(names.length, MAX_ENDS)
  return Array.from({ length: count }, (_, i) => names.slice(i).join('/')).filter(Boolean)
}

const MAX_ENDS = 10
