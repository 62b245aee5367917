import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { bytesOf } from './tree.ts'

/** Git reads no larger `.git` file. */
const MAX_BYTES = 1024 * 1024

/** A repository outside a workspace that contains its files. Paths are bytes, one character each (latin1). */
export interface OuterRepository {
  /** Its work tree: the workspace or a parent. */
  top: string
  configs: string[]
}

/**
 * Finds it as git does for a linked worktree, a submodule, or a folder of a larger repository. `folder` is the
 * workspace, as text and without links. Call it before tools run there: they may write a `.git` that points anywhere.
 */
export function outerRepository(folder: string): OuterRepository | undefined {
  const workspace = Buffer.from(folder).toString('latin1')
  for (let top = workspace; ; top = dirname(top)) {
    const gitDir = repositoryOf(top)
    if (gitDir !== undefined) {
      const isInside = `${realPathOf(gitDir)}/`.startsWith(`${workspace}/`)
      return isInside ? undefined : { top, configs: configsOf(gitDir) }
    }
    if (top === dirname(top)) return undefined
  }
}

function repositoryOf(folder: string): string | undefined {
  const path = `${folder === '/' ? '' : folder}/.git`
  const pointer = lineIn(path)
  if (pointer?.startsWith(GITDIR)) return resolve(folder, pointer.slice(GITDIR.length))
  // Git ignores an empty `.git` folder.
  return existsSync(bytesOf(`${path}/HEAD`)) ? path : undefined
}

function configsOf(gitDir: string): string[] {
  const common = resolve(gitDir, lineIn(`${gitDir}/commondir`) ?? '')
  return [`${common}/config`, `${gitDir}/config.worktree`]
}

const GITDIR = 'gitdir: '

function lineIn(path: string): string | undefined {
  try {
    const file = bytesOf(path)
    const stats = statSync(file)
    if (!stats.isFile() || stats.size > MAX_BYTES) return undefined
    return readFileSync(file, 'latin1').split('\0', 1)[0]?.trimEnd()
  } catch {
    return undefined
  }
}

function realPathOf(path: string): string {
  try {
    return realpathSync.native(bytesOf(path), 'buffer').toString('latin1')
  } catch {
    return path
  }
}
