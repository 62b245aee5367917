import { readFileSync, realpathSync, statSync } from 'node:fs'
import { userInfo } from 'node:os'
import { dirname, isAbsolute, resolve } from 'node:path'
import { expandConfigPath } from './config-path.ts'
import { gitConfigPairs, isInclude, type Pair } from './git-config.ts'
import type { UserConfig } from './git-scan.ts'
import type { OuterRepository } from './outer-repository.ts'
import { bytesOf } from './tree.ts'

const MAX_BYTES = 1024 * 1024

/** As many as git follows, one including the next. */
const MAX_DEPTH = 10

/** Where git has its config for the whole machine, by how it was installed. */
const SYSTEM = ['/etc/gitconfig', '/usr/local/etc/gitconfig', '/opt/homebrew/etc/gitconfig']

/**
 * What the user's own git configs say, and those of a repository outside that has the files of the workspace (`outer`).
 * They may name a program in the workspace, or include a config that lies there; of those only what they include is
 * followed here, and the rest is read as the workspace is. Paths are bytes, one character each (latin1), but for
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
    // What it includes is looked for beside it, by the name by which it is opened.
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
      // Not joined: `..` behind a link is not what it is by its words.
      add(isAbsolute(written) ? written : `${dirname(file)}/${written}`, depth + 1)
    }
  }

  for (const file of [...configFiles(env, home), ...(outer?.configs ?? [])]) add(file, 0)
  return { pairs, files: [...files], homes, top: outer?.top }
}

/** Those of the machine and of the user, whether they are there or not. */
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

/** By its name, the user's home is not what the environment says it is. */
function homeByName(): Record<string, string> {
  try {
    const { username, homedir } = userInfo()
    return { [`~${latin1(username)}`]: latin1(homedir) }
  } catch {
    // A number without a name.
    return {}
  }
}

function realPathOf(file: string): string {
  try {
    // Not the other one, which takes `..` by its words.
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
    // Git reads nothing there, either.
    return undefined
  }
}
