import { type BigIntStats, closeSync, fchownSync, fstatSync, lstatSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { systemCodeOf } from '../../shared/errors.ts'
import { holdFolder, holdIn, openIn, pathIn, release } from './open-within.ts'
import { identityOf, type Workspace } from './open-workspace.ts'

/** A part of the workspace that is mounted once more, on top of itself. */
export interface Pin {
  /** The host's path. */
  path: string
  /** Where it is below the workspace, with slashes. */
  at: string
  readOnly: boolean
  identity: string
}

/**
 * What of a repository is to be pinned, so that no tool plants what the user's next `git status`
 * would run: config and hooks can only be read then. The `.git` itself is mounted on top of itself,
 * because what is mounted cannot be renamed, and a `.git` that can be renamed can be replaced.
 * A workspace without a `.git` has nothing to pin; one that is made in it is looked at afterwards.
 */
export function pinGit(workspace: Workspace): Pin[] {
  const pinIf = (
    at: string,
    readOnly: boolean,
    isRight: (stats: BigIntStats) => boolean,
  ): Pin[] => {
    const path = join(workspace.path, at)
    const stats = look(path)
    // A link is not pinned: the engine would follow it, and mount what it leads to.
    return stats && isRight(stats) ? [{ path, at, readOnly, identity: identityOf(stats) }] : []
  }
  const isFile = (stats: BigIntStats) => stats.isFile()
  const isFolder = (stats: BigIntStats) => stats.isDirectory()

  // Of a worktree or a submodule: it says where the repository is.
  const file = pinIf('.git', true, isFile)
  const folder = pinIf('.git', false, isFolder)
  if (folder.length === 0) return file
  ensureHooks(workspace)
  return [
    ...folder,
    ...pinIf('.git/hooks', true, isFolder),
    ...pinIf('.git/config', true, isFile),
    ...pinIf('.git/config.worktree', true, isFile),
    // Each has repositories in it, with a config and hooks: submodules, and worktrees elsewhere.
    ...pinIf('.git/modules', true, isFolder),
    ...pinIf('.git/worktrees', true, isFolder),
  ]
}

/** A folder that is not there could be made by a tool. Git has it in every repository that it makes. */
function ensureHooks({ path }: Workspace): void {
  try {
    const root = holdFolder(path)
    try {
      const git = holdIn(root, '.git')
      try {
        mkdirSync(pathIn(git, 'hooks'), 0o755)
        const hooks = openIn(git, 'hooks')
        const { uid, gid } = fstatSync(git.descriptor)
        if (process.getuid?.() === 0) fchownSync(hooks, uid, gid)
        closeSync(hooks)
      } finally {
        release(git)
      }
    } finally {
      release(root)
    }
  } catch (error) {
    // It is there, which is right, or cannot be made: then hooks are only looked at afterwards.
    if (systemCodeOf(error) === undefined) throw error
  }
}

function look(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true })
  } catch {
    // Not there, or not for us to see.
    return undefined
  }
}
