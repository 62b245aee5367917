import { gitConfigPairs, type Pair } from './git-config.ts'

// Functions that return the part of a file that can run commands. Bytes are one character each (latin1), so that no
// byte is lost. Each function takes linear time on any input, and in doubt returns the complete file.

/**
 * The part of a git config that can make git run commands: all keys but the known harmless ones. Not a list
 * of dangerous keys, because new versions of git add more. Undefined when there is none.
 */
export function gitConfig(bytes: string): string | undefined {
  const { pairs, isBroken } = gitConfigPairs(bytes)
  // Git rejects such a config completely; another program, or a later git, may accept it.
  if (isBroken) return bytes
  const found = pairs.filter((pair) => !isHarmless(pair))
  return found.length > 0 ? found.map(({ key, value }) => `${key}=${value}`).join('\n') : undefined
}

/** Whether the entry makes git run no command. */
export function isHarmless({ key, value }: Pair): boolean {
  const dot = key.indexOf('.')
  const name = `${key.slice(0, dot)}${key.slice(key.lastIndexOf('.'))}`
  // Values that are an option, a command, or a URL of a remote helper (`helper::address`).
  return HARMLESS.has(name) && !/^[!-]|::/.test(value)
}

const HARMLESS = new Set(
  Object.entries({
    core: 'repositoryformatversion filemode bare logallrefupdates ignorecase precomposeunicode symlinks autocrlf eol safecrlf quotepath abbrev compression untrackedcache sparsecheckout sparsecheckoutcone',
    extensions: 'objectformat refstorage partialclone',
    branch: 'remote merge rebase description',
    remote:
      'url pushurl fetch push tagopt prune promisor partialclonefilter gh-resolved skipfetchall',
    submodule: 'url active branch ignore',
    user: 'name email signingkey',
    lfs: 'repositoryformatversion',
    color: 'ui',
    commit: 'gpgsign',
    tag: 'gpgsign',
    gc: 'auto prune',
    rerere: 'enabled',
    fetch: 'prune',
    index: 'threads version sparse',
    feature: 'manyfiles',
    status: 'branch short showstash',
    log: 'date',
    advice: 'detachedhead',
    pull: 'rebase ff',
    push: 'default autosetupremote',
    init: 'defaultbranch',
  }).flatMap(([section, keys]) => keys.split(' ').map((key) => `${section}.${key}`)),
)

/**
 * The lines of a `.gitattributes` that may select a program of the config: all but lines with known names only. Any
 * other name may be a macro for `filter=…`, even one from the user's own attributes.
 */
export function attributes(bytes: string): string | undefined {
  const found = bytes.split('\n').filter(mayChooseProgram)
  return found.length > 0 ? found.map((line) => line.trim()).join('\n') : undefined
}

function mayChooseProgram(line: string): boolean {
  const [pattern = '', ...words] = line.replace(QUOTED_PATTERN, '" ').split(/[ \t\r]+/)
  return !pattern.startsWith('#') && words.some((word) => word !== '' && !isPlainAttribute(word))
}

/** A quoted pattern may contain spaces. Git reads one with an unknown escape or no end as unquoted, up to a space. */
const QUOTED_PATTERN = /^(\xef\xbb\xbf)?[ \t\r]*"(\\[abfnrtv"\\]|\\[0-3][0-7]{2}|[^"\\\0])*"/

function isPlainAttribute(word: string): boolean {
  const [name = '', ...value] = word.replace(/^[-!]/, '').split('=')
  if (CHOOSING.has(name)) return value.length === 0
  return PLAIN_ATTRIBUTES.has(name) || /^(linguist|gitlab)-/.test(name)
}

const CHOOSING = new Set(['filter', 'diff', 'merge'])

const PLAIN_ATTRIBUTES = new Set(
  (
    'text eol crlf ident binary whitespace encoding working-tree-encoding delta lockable ' +
    'export-ignore export-subst conflict-marker-size'
  ).split(' '),
)

/** A build script may have any name. */
export const cargo = linesWith('build', 'proc-macro', 'proc_macro', 'plugin')

export const pythonTools = linesWith(
  'build-backend',
  'backend-path',
  'requires',
  'plugin',
  'addopts',
  'init-hook',
  'init_hook',
  'commands',
  '-p ',
)

export const pom = (bytes: string) => wholeIf(bytes, '<plugin', '<extension', '<parent')

/** Parts that make runs even in a dry run. */
export const makefile = (bytes: string) =>
  wholeIf(bytes, 'shell', '!=', 'MAKE', 'eval', 'include', 'load', '\t+')

export const msbuild = (bytes: string) =>
  wholeIf(bytes, 'Exec', 'UsingTask', 'Import', 'Target', 'BuildEvent', 'Analyzer', 'Sdk Name')

/**
 * The part of a package.json that runs or loads code without being called by name: all fields but the known harmless
 * ones, since any tool may have its config in it.
 */
export const packageJson = (bytes: string) =>
  jsonParts(bytes, ({ scripts, ...others }) => ({
    ...Object.fromEntries(Object.entries(others).filter(([name]) => !DESCRIBING.has(name))),
    ...only(scripts, LIFECYCLE),
  }))

const LIFECYCLE = [
  'preinstall',
  'install',
  'postinstall',
  'preprepare',
  'prepare',
  'postprepare',
  'prepublish',
  'dependencies',
  'pnpm:devPreinstall',
]

/** Fields for description, contents and dependencies. */
const DESCRIBING = new Set(
  (
    'name version private description keywords homepage bugs license licenses author contributors maintainers ' +
    'funding repository readme displayName icon publisher categories ' +
    'files main module browser types typings typesVersions exports imports type bin man directories sideEffects ' +
    'dependencies devDependencies peerDependencies peerDependenciesMeta optionalDependencies bundleDependencies ' +
    'bundledDependencies overrides resolutions engines os cpu libc workspaces publishConfig'
  ).split(' '),
)

/** Composer's event scripts; other scripts run only by name. */
export const composerJson = (bytes: string) =>
  jsonParts(bytes, ({ scripts }) =>
    only(
      scripts,
      Object.keys(Object(scripts)).filter((name) => /^(pre|post)-|^(init|command)$/.test(name)),
    ),
  )

/** A tsconfig.json may have comments, so it is not read as JSON. */
export const tsPlugins = (bytes: string) => wholeIf(bytes, 'plugins', '\\u')

function linesWith(...words: string[]): (bytes: string) => string | undefined {
  return (bytes) => {
    // A fast check: most files contain none of the words.
    if (!words.some((word) => bytes.includes(word))) return undefined
    const found = bytes.split('\n').filter((line) => words.some((word) => line.includes(word)))
    return found.map((line) => line.trim()).join('\n')
  }
}

function wholeIf(bytes: string, ...words: string[]): string | undefined {
  return words.some((word) => bytes.includes(word)) ? bytes : undefined
}

function jsonParts(
  bytes: string,
  choose: (json: Record<string, unknown>) => Record<string, unknown>,
): string | undefined {
  try {
    const found = Object.entries(choose(Object(JSON.parse(bytes))))
    return found.length > 0 ? JSON.stringify(found.sort()) : undefined
  } catch {
    // A program that is less strict, or allows deeper nesting, may accept it.
    return bytes
  }
}

function only(from: unknown, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(Object(from)).filter(([name]) => names.includes(name)))
}
