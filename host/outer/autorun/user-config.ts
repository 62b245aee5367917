import { readFileSync, realpathSync, statSync } from 'node:fs'
import { userInfo } from 'node:os'
import { dirname, isAbsolute, resolve } from 'node:path'
import { expandConfigPath } from './config-path.ts'
import { gitConfigPairs, isInclude, type Pair } from './git-config.ts'
import type { UserConfig } from './git-scan.ts'
import type { OuterRepository } from './outer-repository.ts'
import { bytesOf } from './tree.ts'

const MAX_BYTES = 1024 * 1024

/** Git's limit of nested includes. */
const MAX_DEPTH = 10

/** Possible paths of git's system config; they depend on the installation. */
const SYSTEM = ['/etc/gitconfig', '/usr/local/etc/gitconfig', '/opt/homebrew/etc/gitconfig']

/**
 * Reads the user's git configs, and those of a repository outside that contains the workspace (`outer`). They may
 * name a program in the workspace, or include a config in it. Of a config in the workspace, this function follows
 * the includes only; the scan of the workspace reads the rest. Paths are bytes, one character each (latin1), except
 * `workspace`.
 */
export function readUserConfig(
  env: NodeJS.ProcessEnv,
  workspace: string,
  outer?: OuterRepository,
): UserConfig {
  const home = latin1(env.HOME ?? '')
  const homes = { '~': home, ...homeByName() }
  const top = `${latin1(workspace)}/`
  const pairs: Pair[] = []
  const files = new Set<string>()
  const seen = new Set<string>()

  const add = (file: string, depth: number): void => {
    const path = realPathOf(file)
    // Relative includes are resolved against the folder of the opened path, before links.
    const key = `${path}\0${dirname(file)}`
    if (seen.has(key) || depth > MAX_DEPTH) return
    seen.add(key)
    const isInWorkspace = path.startsWith(top)
    if (isInWorkspace) files.add(path)
    const bytes = readIfFile(path)
    for (const pair of bytes === undefined ? [] : gitConfigPairs(bytes).pairs) {
      if (!isInWorkspace) pairs.push(pair)
      const written = isInclude(pair) ? expandConfigPath(pair.value, homes) : undefined
      if (written === undefined) continue
      // Not normalised: `..` after a link is the parent of the link's target.
      add(isAbsolute(written) ? written : `${dirname(file)}/${written}`, depth + 1)
    }
  }

  for (const file of [...configFiles(env, home), ...(outer?.configs ?? [])]) add(file, 0)
  return { pairs, files: [...files], homes, top: outer?.top }
}

/** Possible configs of the machine and of the user; they may not exist. */
function configFiles(env: NodeJS.ProcessEnv, home: string): string[] {
  const ofMachine = env.GIT_CONFIG_SYSTEM ? [latin1(env.GIT_CONFIG_SYSTEM)] : SYSTEM
  const beside = env.XDG_CONFIG_HOME ? latin1(env.XDG_CONFIG_HOME) : `${home}/.config`
  const ofUser = home ? [`${beside}/git/config`, `${home}/.gitconfig`] : []
  return [
    ...(env.GIT_CONFIG_NOSYSTEM ? [] : ofMachine),
    ...(env.GIT_CONFIG_GLOBAL ? [latin1(env.GIT_CONFIG_GLOBAL)] : ofUser),
  ]
}

const latin1 = (text: string) => Buffer.from(text).toString('latin1')

/** `~name` is the home of the password database, not `HOME`. */
function homeByName(): Record<string, string> {
  try {
    const { username, homedir } = userInfo()
    return { [`~${latin1(username)}`]: latin1(homedir) }
  } catch {
    // A user id without a name.
    return {}
  }
}

function realPathOf(file: string): string {
  try {
    // `native`: the JavaScript version resolves `..` lexically.
    return realpathSync.native(bytesOf(file), 'buffer').toString('latin1')
  } catch {
    return resolve(file)
  }
}

function readIfFile(path: string): string | undefined {
  try {
    const file = bytesOf(path)
    const stats = statSync(file)
    return stats.isFile() && stats.size <= MAX_BYTES ? readFileSync(file, 'latin1') : undefined
  } catch {
    // Git cannot read it, either.
    return undefined
  }
}
