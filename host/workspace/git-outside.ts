import { existsSync, lstatSync, realpathSync } from 'node:fs'
import { isAbsolute, join, resolve, sep } from 'node:path'
import { liesIn } from '../../shared/lies-in.ts'
import { pathAndAbove } from './folders-above.ts'
import { readWithin } from './open-within.ts'

/** A path, and a few words. */
const MAX_POINTER_BYTES = 8192

/**
 * What to tell the user where git works in the workspace on this machine, and cannot in a container: the repository, or a
 * part of it, is not in there.
 */
export function gitOutsideNotice(workspace: string): string | undefined {
  const outside = repositoryOutside(workspace)
  if (!outside) return undefined
  return (
    `Git does not work in the container: the workspace ${outside.is}, and the repository (${outside.path}) is not handed in. ` +
    'What needs git has to be done by you, or in a workspace that has all of it.'
  )
}

function repositoryOutside(workspace: string): { is: string; path: string } | undefined {
  const git = join(workspace, '.git')
  const stats = lstatSync(git, { throwIfNoEntry: false })
  if (!stats) {
    const [, ...above] = pathAndAbove(workspace)
    const path = above.find((folder) => existsSync(join(folder, '.git')))
    return path === undefined ? undefined : { is: 'is a folder of a larger repository', path }
  }
  if (stats.isSymbolicLink()) {
    const path = realPathOf(git)
    return liesIn(path, workspace) ? undefined : { is: 'has a link as its .git', path }
  }
  const pointer = /^gitdir: (.+)$/m.exec(
    readWithin(workspace, '.git', MAX_POINTER_BYTES)?.toString('utf8') ?? '',
  )?.[1]
  if (pointer === undefined) return undefined
  const path = realPathOf(resolve(workspace, pointer))
  // In a container the workspace has another path.
  if (!isAbsolute(pointer) && liesIn(path, workspace)) return undefined
  return { is: kindOf(path), path }
}

function kindOf(path: string): string {
  const names = path.split(sep)
  if (names.includes('worktrees')) return 'is a linked worktree'
  return names.includes('modules') ? 'is a submodule' : 'has its repository elsewhere'
}

function realPathOf(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}
