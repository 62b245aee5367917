/**
 * What of a git config can make git run something: all of it but the lines that are known to be
 * harmless. Not the other way round, because git learns to run new things; and what is not written in
 * the plainest way counts, so that nothing is read here otherwise than by git. Undefined when there
 * is nothing.
 */
export function commandsInGitConfig(text: string): string | undefined {
  const found: string[] = []
  let section = ''
  for (const line of lines(text)) {
    if (/^[#;]/.test(line)) continue
    const header = /^\[([\w-]+)(?: "([^"\\]*)")?\]$/.exec(line)
    if (header) {
      section = (header[1] ?? '').toLowerCase()
      continue
    }
    const [, name, value = ''] = /^([A-Za-z][\w-]*)\s*=\s*([^"\\#;]*)$/.exec(line) ?? []
    const key = `${section}.${name?.toLowerCase()}`
    if (line.startsWith('[')) section = '?'
    if (name && HARMLESS.test(key) && !/^(!|ext::|-)/.test(value)) continue
    found.push(`[${section}] ${line}`)
  }
  return found.length > 0 ? found.join('\n') : undefined
}

const HARMLESS = new RegExp(
  `^(${[
    'core\\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|autocrlf|eol|safecrlf|quotepath|abbrev|compression|untrackedcache|sparsecheckout|sparsecheckoutcone)',
    'extensions\\.(objectformat|refstorage|partialclone)',
    'branch\\.(remote|merge|rebase|description)',
    'remote\\.(url|pushurl|fetch|push|tagopt|prune|promisor|partialclonefilter|gh-resolved)',
    'submodule\\.(url|active|branch|ignore)',
    'user\\.(name|email|signingkey)',
    'lfs\\.repositoryformatversion',
    '(color|advice|gc|rerere|fetch|index|feature|commit|tag|status|log)\\.(ui|autocrlf|auto|enabled|prune|threads|manyfiles|gpgsign|branch|short|showstash|date|detachedhead)',
    'pull\\.(rebase|ff)',
    'push\\.(default|autosetupremote)',
    'init\\.defaultbranch',
  ].join('|')})$`,
)

/** The lines of a `.gitattributes` that choose a program of the config. Undefined when there is none. */
export function commandsInAttributes(text: string): string | undefined {
  const found = lines(text).filter((line) => /(^|\s)(filter|diff|merge)=/.test(line))
  return found.length > 0 ? found.join('\n') : undefined
}

/**
 * The lines of a Cargo.toml for which cargo, and an editor that asks it, runs programs of the package: a build script
 * has any name. Undefined when there is none.
 */
export function programsInCargo(text: string): string | undefined {
  const found = lines(text).filter((line) => /\b(build|proc[-_]macro|plugin)\b/.test(line))
  return found.length > 0 ? found.join('\n') : undefined
}

/** The scripts of a package.json that run without being named. Undefined when there is none. */
export function lifecycleScripts(text: string): string | undefined {
  let scripts: unknown
  try {
    scripts = JSON.parse(text)?.scripts
  } catch {
    // Perhaps a program that is less strict can read it.
    return text
  }
  if (typeof scripts !== 'object' || scripts === null) return undefined
  const found = Object.entries(scripts).filter(([name]) => LIFECYCLE.includes(name))
  return found.length > 0 ? JSON.stringify(found.sort()) : undefined
}

const LIFECYCLE = [
  'preinstall',
  'install',
  'postinstall',
  'preprepare',
  'prepare',
  'postprepare',
  'prepublish',
  'dependencies',
]

function lines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
}
