import { closeSync, fchownSync, fstatSync, mkdirSync } from 'node:fs'
import { systemCodeOf } from '../../shared/errors.ts'
import { holdSourceIn, type MountSource, releaseSources } from './mount-source.ts'
import { openIn, pathIn } from './open-within.ts'

/** A part of the workspace that is mounted once more, on top of itself. */
export interface Pin extends MountSource {
  /** Where it is below the workspace, with slashes. */
  readonly at: string
  readonly readOnly: boolean
}

/** What a pinned path has to be. Anything else that is there is not pinned. */
const INSIDE_GIT: [name: string, kind: 'file' | 'folder'][] = [
  ['hooks', 'folder'],
  ['config', 'file'],
  ['config.worktree', 'file'],
  // Each has repositories in it, with a config and hooks: submodules, and worktrees elsewhere.
  ['modules', 'folder'],
  ['worktrees', 'folder'],
]

/**
 * What of a repository is to be pinned, so that no tool plants what the user's next `git status`
 * would run: config and hooks can only be read then. The `.git` itself is mounted on top of itself,
 * because what is mounted cannot be renamed, and a `.git` that can be renamed can be replaced.
 * A workspace without a `.git` has nothing to pin; one that is made in it is looked at afterwards.
 * The caller releases what is returned.
 */
export function pinGit(workspace: MountSource): Pin[] {
  const pinIf = (isRight: boolean, source: MountSource, at: string, readOnly: boolean): Pin[] => {
    // A link is not pinned: the engine would follow it, and mount what it leads to.
    if (isRight) return [{ ...source, at, readOnly }]
    releaseSources([source])
    return []
  }
  const git = holdSourceIn(workspace, '.git')
  if (!git) return []
  // A file is a worktree's or a submodule's: it says where the repository is.
  if (git.kind !== 'folder') return pinIf(git.kind === 'file', git, '.git', true)
  ensureHooks(git)
  const parts = INSIDE_GIT.flatMap(([name, kind]): Pin[] => {
    const part = holdSourceIn(git, name)
    return part ? pinIf(part.kind === kind, part, `.git/${name}`, true) : []
  })
  return [{ ...git, at: '.git', readOnly: false }, ...parts]
}

/** A folder that is not there could be made by a tool. Git has it in every repository that it makes. */
function ensureHooks({ descriptor, path }: MountSource): void {
  if (descriptor === undefined) return
  const git = { descriptor, path }
  try {
    mkdirSync(pathIn(git, 'hooks'), 0o755)
    const hooks = openIn(git, 'hooks')
    const { uid, gid } = fstatSync(descriptor)
    if (process.getuid?.() === 0) fchownSync(hooks, uid, gid)
    closeSync(hooks)
  } catch (error) {
    // It is there, which is right, or cannot be made: then hooks are only looked at afterwards.
    if (systemCodeOf(error) === undefined) throw error
  }
}
