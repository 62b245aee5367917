import { existsSync, lstatSync, readlinkSync, realpathSync } from 'node:fs'
import { isAbsolute, join, resolve, sep } from 'node:path'
import { liesIn } from '../../shared/lies-in.ts'
import { pathAndAbove } from './folders-above.ts'
import { readWithin } from './open-within.ts'

/** Enough for a `.git` pointer or a few paths. */
const MAX_POINTER_BYTES = 8192

/**
 * The notice for a workspace where git works on this machine but not in a container, because the repository or a
 * part of it is outside of the workspace.
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
  const target = linkTargetOf(git)
  if (target !== undefined) {
    const path = realPathOf(git)
    const leadsOut = leavesContainer(target, path, workspace)
    return leadsOut && path !== git ? { is: 'has a link as its .git', path } : undefined
  }
  if (!lstatSync(git, { throwIfNoEntry: false })) {
    const [, ...above] = pathAndAbove(workspace)
    const path = above.find((folder) => existsSync(join(folder, '.git')))
    return path === undefined ? undefined : { is: 'is a folder of a larger repository', path }
  }
  const pointer = /^gitdir: (.+)$/m.exec(textIn(workspace, '.git'))?.[1]
  if (pointer === undefined) return borrowedFrom(workspace)
  const path = realPathOf(resolve(workspace, pointer))
  return leavesContainer(pointer, path, workspace) ? { is: kindOf(path), path } : undefined
}

/** For a clone made with `--shared` or `--reference`. */
function borrowedFrom(workspace: string): { is: string; path: string } | undefined {
  const lines = textIn(workspace, '.git/objects/info/alternates').split('\n').filter(Boolean)
  const path = lines
    .map((line) => ({ line, path: realPathOf(resolve(workspace, '.git/objects', line)) }))
    .find(
      (entry) => leavesContainer(entry.line, entry.path, workspace) && existsSync(entry.path),
    )?.path
  return path === undefined ? undefined : { is: 'borrows objects of another repository', path }
}

/** Whether `path`, written as `name`, does not exist in a container, where the workspace has another path. */
function leavesContainer(name: string, path: string, workspace: string): boolean {
  return isAbsolute(name) || !liesIn(path, workspace)
}

function textIn(workspace: string, path: string): string {
  return readWithin(workspace, path, MAX_POINTER_BYTES)?.toString('utf8') ?? ''
}

function kindOf(path: string): string {
  const names = path.split(sep)
  if (names.includes('worktrees')) return 'is a linked worktree'
  return names.includes('modules') ? 'is a submodule' : 'has its repository elsewhere'
}

/** Undefined unless `path` is a link. One call: between a check and a read a tool could replace the file. */
function linkTargetOf(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}

function realPathOf(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}
