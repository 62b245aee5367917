import { commandWords } from './command-words.ts'
import { isHarmless } from './commands-in.ts'
import { expandConfigPath } from './config-path.ts'
import { gitConfigPairs, isInclude, type Pair } from './git-config.ts'
import { type GitIndex, readGitIndex } from './git-index.ts'
import { below, type Look, parentOf } from './look.ts'
import {
  ATTRIBUTES,
  CONFIG,
  HOOK,
  type Place,
  PROGRAM,
  REMOTE,
  REPOSITORY_ELSEWHERE,
  REPOSITORY_FILES,
} from './places.ts'
import { bytesOf, digest } from './tree.ts'

/** Git reads no larger `.git` file. */
const MAX_DOT_GIT_BYTES = 1024 * 1024

/** The index of about 700 000 files. */
const MAX_INDEX_BYTES = 64 * 1024 * 1024

/** The entries of the user's configs, and the absolute paths of configs in the workspace. */
export interface UserConfig {
  pairs: readonly Pair[]
  files: readonly string[]
  /** Home folders by `~` or `~name`. */
  homes: Readonly<Record<string, string>>
  /** The work tree of an outside repository that contains the workspace (absolute). */
  top?: string | undefined
}

/** The scan that walks the folders. */
interface Searcher {
  /** Records the files of a folder, or of a link to one, as such places. */
  enter(path: string, place: Place): void
  /** Scans a folder even if its name is left out. */
  search(path: string): void
  /** The same, and leaves out no subfolder. */
  searchAll(path: string): void
  /** The left-out folder among this one and its parents. */
  leftOut(path: string): string | undefined
}

interface Configs {
  /** Keyed by path and folder; the value is the path. */
  paths: Map<string, string>
  /** Files with a path out of the workspace. */
  outside: Set<string>
}

/** Finds the files that git runs for the repositories in a workspace, by reading the files that git reads. */
export class GitScan {
  readonly #look: Look
  readonly #user: UserConfig
  readonly #to: Searcher
  readonly #seen = new Set<string>()
  readonly #configs = new Map<string, readonly Pair[]>()
  #userPairs: readonly Pair[] | undefined
  readonly #root: string

  constructor(look: Look, user: UserConfig, to: Searcher) {
    this.#look = look
    this.#root = Buffer.from(look.tree.root).toString('latin1')
    this.#user = user
    this.#to = to
  }

  /** Scans `.git` in the folder `top`: a repository, or a file or link that points to one. */
  lookAtDotGit(top: string, path = below(top, '.git')): void {
    if (this.#look.kindOf(path) === 'folder') {
      this.lookAtRepository(path, top)
      return
    }
    const bytes = this.#look.lookAt(path, REPOSITORY_ELSEWHERE, MAX_DOT_GIT_BYTES)
    const line = bytes && lineOf(bytes)
    if (line !== undefined && !line.startsWith(GITDIR)) return
    const [from, written] = line === undefined ? ['', path] : [top, line.slice(GITDIR.length)]
    const led = this.#look.resolve(from, written)
    if (led !== undefined) {
      if (line !== undefined || this.#look.kindOf(led) === 'folder') this.lookAtRepository(led, top)
    } else if (this.#look.leadsOut(from, written)) {
      const isKnown = top === '' && this.#user.top === this.#root
      if (!isKnown) this.#look.findings.noteUnread(path, UNREAD_OUTSIDE)
      this.#lookAtNamedByUser(top)
    }
  }

  /**
   * Scans the workspace files that outside configs name: for an outside repository that contains the workspace, or for
   * repositories anywhere else.
   */
  lookAtOuter(): void {
    this.#lookAtNamedByUser(this.#user.top ?? '')
  }

  #lookAtNamedByUser(top: string): void {
    for (const pair of this.#ofUser()) this.#lookAtNamed(pair, below(top, '.git'), new Set([top]))
  }

  /** Scans the repository `path` with the work tree `top`; without `top`, the config names the work tree. */
  lookAtRepository(path: string, top?: string): void {
    const key = `${path}\0${top}`
    if (this.#seen.has(key)) return
    this.#seen.add(key)
    this.#look.budget.spend('repositories')
    for (const [name, place] of Object.entries(REPOSITORY_FILES)) {
      this.#look.lookAt(below(path, name), place)
    }
    const worktree = this.#ledBy(below(path, 'gitdir')).path
    if (worktree !== undefined) this.#to.search(parentOf(worktree))
    const common = this.#ledBy(below(path, 'commondir'))
    const commonPath = common.path ?? path
    const configs: Configs = { paths: new Map(), outside: new Set() }
    if (common.isOutside) configs.outside.add(below(path, 'commondir'))
    this.#addConfig(below(path, 'config'), configs)
    this.#addConfig(below(path, 'config.worktree'), configs)
    for (const folder of new Set([path, commonPath])) {
      if (folder !== path) {
        this.#look.lookAt(below(folder, 'info/attributes'), ATTRIBUTES)
        this.#addConfig(below(folder, 'config'), configs)
      }
      this.#to.enter(below(folder, 'hooks'), HOOK)
      for (const name of ['remotes', 'branches']) this.#to.enter(below(folder, name), REMOTE)
      this.#to.searchAll(below(folder, 'modules'))
      this.#to.searchAll(below(folder, 'worktrees'))
    }
    for (const at of configs.outside) this.#look.findings.noteUnread(at, UNREAD_OUTSIDE)
    const pairs = this.#pairsOf(configs)
    const tops = this.#topsOf(path, top, pairs)
    for (const pair of pairs) this.#lookAtNamed(pair, path, tops)
    for (const pair of this.#ofUser()) this.#lookAtNamed(pair, path, tops)
    this.#lookAtIndex(path, tops, this.#idBytesOf(commonPath))
  }

  /** Resolves the path in a file of a repository. */
  #ledBy(file: string): { path?: string | undefined; isOutside?: boolean } {
    const bytes = this.#look.read(file, MAX_DOT_GIT_BYTES)
    if (!bytes) return {}
    const [from, written] = [parentOf(file), lineOf(bytes)]
    const path = this.#look.resolve(from, written)
    return { path, isOutside: this.#look.leadsOut(from, written) }
  }

  /** The base folders of a config's relative paths. */
  #topsOf(path: string, top: string | undefined, pairs: readonly Pair[]): Set<string> {
    const tops = new Set([path])
    if (top !== undefined) tops.add(top)
    for (const { key, value } of pairs) {
      const written = key === 'core.worktree' ? this.#look.resolve(path, value) : undefined
      if (written !== undefined) tops.add(written)
    }
    return tops
  }

  /**
   * Adds a config and its includes, under any condition. Relative includes are resolved against `folder`, the folder of
   * the path that git opens, even if the config is a link.
   */
  #addConfig(path: string, configs: Configs, folder = parentOf(path)): void {
    const key = `${path}\0${folder}`
    if (configs.paths.has(key)) return
    configs.paths.set(key, path)
    if (this.#look.leadsOut('', path)) configs.outside.add(path)
    for (const pair of this.#config(path)) {
      const written = isInclude(pair) ? this.#expanded(pair, path) : undefined
      if (!written) continue
      const included = this.#look.resolve(folder, written)
      if (included === undefined) {
        if (this.#look.leadsOut(folder, written)) configs.outside.add(path)
        continue
      }
      const beside = this.#look.resolve(
        folder,
        parentOf(written) || (written.startsWith('/') ? '/' : '.'),
      )
      this.#addConfig(included, configs, beside)
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

  #pairsOf(configs: Configs): Pair[] {
    return [...new Set(configs.paths.values())].flatMap((path) => this.#config(path))
  }

  #ofUser(): readonly Pair[] {
    if (this.#userPairs) return this.#userPairs
    // The user's pairs already hold the entries of outside includes.
    const configs: Configs = { paths: new Map(), outside: new Set() }
    for (const file of this.#user.files) {
      const path = this.#look.resolve('', file)
      if (path !== undefined) this.#addConfig(path, configs)
    }
    this.#userPairs = [...this.#user.pairs, ...this.#pairsOf(configs)]
    return this.#userPairs
  }

  /** The path in a config's value; undefined if it cannot be expanded. */
  #expanded({ value }: Pair, at: string): string | undefined {
    const path = expandConfigPath(value, this.#user.homes)
    if (path === undefined) {
      this.#look.findings.noteUnread(at, `it leads to ${value.slice(0, 200)}`)
    }
    return path
  }

  /** Scans the workspace files that a config entry names: hooks, attributes, programs. */
  #lookAtNamed(pair: Pair, gitDir: string, tops: ReadonlySet<string>): void {
    const { key, value } = pair
    if (REMOTE_KEY.test(key)) this.#lookAtRemote(pair, gitDir, tops)
    // An alias runs only when called by name.
    if (isHarmless(pair) || isInclude(pair) || key.startsWith('alias.')) return
    for (const top of tops) {
      // A config can name as many work trees as it has entries.
      this.#look.budget.spend('steps')
      if (NAMING_NO_PROGRAM.has(key)) {
        const written = this.#expanded(pair, gitDir)
        const path = written === undefined ? undefined : this.#look.resolve(top, written)
        if (path === undefined) continue
        if (key === 'core.hookspath') this.#to.enter(path, HOOK)
        else if (key === 'init.templatedir') this.#lookAtTemplate(path)
        else this.#look.lookAt(path, ATTRIBUTES)
      } else {
        for (const word of commandWords(value)) {
          // Git runs commands in the git folder only without a work tree; that folder has files of any name.
          if (top !== gitDir || word.includes('/')) this.#lookAtProgram(word, top)
        }
      }
    }
  }

  /** Scans the template that git copies into each new repository or clone. */
  #lookAtTemplate(path: string): void {
    this.#to.enter(below(path, 'hooks'), HOOK)
    this.#look.lookAt(below(path, 'config'), CONFIG)
    this.#look.lookAt(below(path, 'info/attributes'), ATTRIBUTES)
  }

  /** A push runs the hooks of a repository that is a folder here. */
  #lookAtRemote({ key, value }: Pair, gitDir: string, tops: ReadonlySet<string>): void {
    const expanded = this.#expanded({ key, value: pathOfUrl(value) }, gitDir)
    if (expanded === undefined) return
    const written = withoutEndSlashes(expanded)
    for (const top of tops) {
      // Git tries both names.
      for (const end of ['', '.git']) {
        const path = this.#look.resolve(top, `${written}${end}`)
        if (path === undefined) continue
        // `kindOf` reads nothing: a file with contents is `unread`.
        if (this.#look.kindOf(path) === 'unread') this.lookAtDotGit(parentOf(path), path)
        if (this.#look.kindOf(path) !== 'folder') continue
        this.lookAtDotGit(path)
        // Git takes the folder itself where its `.git` is no repository.
        if (this.#look.kindOf(below(path, 'HEAD')) !== 'nothing') this.lookAtRepository(path)
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

  #idBytesOf(commonPath: string): number {
    const pairs = this.#config(below(commonPath, 'config'))
    const format = pairs.findLast(({ key }) => key === 'extensions.objectformat')
    return format?.value === 'sha256' ? 32 : 20
  }

  #lookAtIndex(path: string, tops: ReadonlySet<string>, idBytes: number): void {
    const at = below(path, 'index')
    const bytes = this.#look.read(at, MAX_INDEX_BYTES)
    if (!bytes) return
    const index = readGitIndex(bytes, {
      shared: (id) => this.#look.read(below(path, `sharedindex.${id}`), MAX_INDEX_BYTES),
      wanted: this.#to.leftOut,
      idBytes,
    })
    if (index.unread !== undefined) {
      this.#look.findings.noteUnread(
        at,
        `what it tells git to look at is not known: ${index.unread}`,
      )
    }
    for (const top of tops) if (top !== path || tops.size === 1) this.#lookAtEntries(index, top)
  }

  #lookAtEntries({ gitlinks, folders, attributes, wanted }: GitIndex, top: string): void {
    for (const name of wanted) {
      const path = this.#look.resolve(top, name)
      if (path !== undefined) this.#to.searchAll(path)
    }
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
    for (const [name, content] of attributes) {
      const path = below(top, name)
      // Git does not follow a link here, either.
      if (['nothing', 'link'].includes(this.#look.kindOf(path))) {
        this.#look.findings.note(ATTRIBUTES, path, `in the index: ${digest(bytesOf(content))}`)
      }
    }
  }
}

const NAMING_NO_PROGRAM = new Set(['core.hookspath', 'core.attributesfile', 'init.templatedir'])

/** Keys whose value names a repository or another remote. */
const REMOTE_KEY = /^(remote\..*\.(push)?url|remote\.pushdefault|branch\..*\.(push)?remote)$/s

/** Git drops them before it adds `.git`. A regex for this would take the square of their number. */
function withoutEndSlashes(path: string): string {
  let end = path.length
  while (end > 1 && path[end - 1] === '/') end--
  return path.slice(0, end)
}

const FILE_URL = 'file://'

function pathOfUrl(url: string): string {
  if (!url.startsWith(FILE_URL)) return url
  // Git leaves out a host.
  return url
    .slice(FILE_URL.length)
    .replace(/^[^/]+/, '')
    .replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
}

const GITDIR = 'gitdir: '

const UNREAD_OUTSIDE = 'it leads outside, and what the git config there names is not known'

/** The text up to the first zero, without trailing line ends, as git reads it. */
function lineOf(bytes: Buffer): string {
  const zero = bytes.indexOf(0)
  let end = zero < 0 ? bytes.length : zero
  while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end--
  return bytes.toString('latin1', 0, end)
}
