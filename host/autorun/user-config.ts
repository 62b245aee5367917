import { readFileSync, realpathSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { gitConfigPairs, type Pair } from './git-config.ts'
import type { UserConfig } from './git-scan.ts'

const MAX_BYTES = 1024 * 1024

/** As many as git follows, one including the next. */
const MAX_DEPTH = 10

/** Where git has its config for the whole machine, by how it was installed. */
const SYSTEM = ['/etc/gitconfig', '/usr/local/etc/gitconfig', '/opt/homebrew/etc/gitconfig']

/**
 * What the user's own git configs say. They may name a program in the workspace, or include a config that lies there;
 * those are not read here, since they are as the workspace is.
 */
export function readUserConfig(env: NodeJS.ProcessEnv, workspace: string): UserConfig {
  const home = env.HOME ?? ''
  const pairs: Pair[] = []
  const files = new Set<string>()
  const seen = new Set<string>()

  const add = (file: string, depth: number): void => {
    const path = realPathOf(file)
    if (seen.has(path) || depth > MAX_DEPTH) return
    seen.add(path)
    if (path.startsWith(`${workspace}/`)) {
      files.add(Buffer.from(path).toString('latin1'))
      return
    }
    const bytes = readIfFile(path)
    for (const pair of bytes === undefined ? [] : gitConfigPairs(bytes).pairs) {
      pairs.push(pair)
      if (!/^include(if\..*)?\.path$/s.test(pair.key)) continue
      const written = Buffer.from(pair.value, 'latin1').toString()
      add(resolve(dirname(file), written.replace(/^~(?=\/)/, home)), depth + 1)
    }
  }

  const system = env.GIT_CONFIG_NOSYSTEM
    ? []
    : env.GIT_CONFIG_SYSTEM
      ? [env.GIT_CONFIG_SYSTEM]
      : SYSTEM
  const xdg = join(env.XDG_CONFIG_HOME || join(home, '.config'), 'git', 'config')
  const global = env.GIT_CONFIG_GLOBAL
    ? [env.GIT_CONFIG_GLOBAL]
    : home
      ? [xdg, join(home, '.gitconfig')]
      : []
  for (const file of [...system, ...global]) add(file, 0)
  return { pairs, files: [...files], home: Buffer.from(home).toString('latin1') }
}

function realPathOf(file: string): string {
  try {
    return realpathSync(file)
  } catch {
    return resolve(file)
  }
}

function readIfFile(path: string): string | undefined {
  try {
    const { size } = statSync(path)
    return statSync(path).isFile() && size <= MAX_BYTES ? readFileSync(path, 'latin1') : undefined
  } catch {
    // Git reads nothing there, either.
    return undefined
  }
}
