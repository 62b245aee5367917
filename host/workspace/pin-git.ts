import {
  closeSync,
  constants,
  fchownSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  type Stats,
} from 'node:fs'
import { CodexboxError, messageOf, systemCodeOf } from '../../shared/errors.ts'
import { holdSourceIn, type MountSource, releaseSources } from './mount-source.ts'
import { type HeldFolder, holdIn, pathIn, release } from './open-within.ts'

/** A part of the workspace that is mounted on top of itself. */
export interface Pin extends MountSource {
  /** Relative to the workspace, with slashes. */
  readonly at: string
  readonly readOnly: boolean
}

/** The pinned paths with their required kind. Another kind of file is not pinned. */
const INSIDE_GIT: [name: string, kind: 'file' | 'folder'][] = [
  ['hooks', 'folder'],
  ['config', 'file'],
  ['config.worktree', 'file'],
  // Both contain repositories with a config and hooks: submodules, and worktrees elsewhere.
  ['modules', 'folder'],
  ['worktrees', 'folder'],
]

/**
 * The parts of a repository to pin, so that no tool can add commands that the user's next `git status`
 * would run: config and hooks become read-only. The `.git` itself is mounted on top of itself,
 * because a mount point cannot be renamed, and a `.git` that can be renamed can be replaced.
 * Missing parts are created empty, which git accepts: a tool could create them, and would then have a part
 * of the repository that can be renamed. A workspace without a `.git` has nothing to pin; the autorun scan
 * covers one that is created later. The caller releases the result.
 * @throws CodexboxError `workspace-invalid` when a part cannot be read, and so not be pinned
 */
export function pinGit(workspace: MountSource): Pin[] {
  const pins: Pin[] = []
  const pin = (source: MountSource, at: string, readOnly: boolean, isRight: boolean) => {
    // A link is not pinned: the engine would follow it, and mount its target.
    if (isRight) pins.push({ ...source, at, readOnly })
    else releaseSources([source])
  }
  try {
    const git = holdPart(workspace, '.git', '.git')
    if (!git) return []
    const isFolder = git.kind === 'folder'
    // A `.git` file belongs to a worktree or a submodule, and points to its repository.
    pin(git, '.git', !isFolder, isFolder || git.kind === 'file')
    if (!isFolder) return pins
    for (const [name, kind] of INSIDE_GIT) {
      const at = `.git/${name}`
      const part = holdPart(git, name, at) ?? makePart(git, name, kind)
      if (part) pin(part, at, true, part.kind === kind)
    }
    return pins
  } catch (error) {
    releaseSources(pins)
    throw error
  }
}

function holdPart(folder: MountSource, name: string, at: string): MountSource | undefined {
  try {
    return holdSourceIn(folder, name)
  } catch (error) {
    if (systemCodeOf(error) === undefined) throw error
    throw notPinned(at, 'be looked at', error)
  }
}

function notPinned(at: string, what: string, cause: unknown): CodexboxError {
  return new CodexboxError(
    'workspace-invalid',
    `${at} in the workspace cannot ${what} (${messageOf(cause)}), and so cannot be kept from the agent. ` +
      'Change that, such as with chmod u+rwx, and look into the hooks and config of the repository first.',
    { cause },
  )
}

/** The last three: another file was put there meanwhile, which is then checked by its kind. */
const CANNOT_BE_MADE = ['EEXIST', 'EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'ENOENT', 'ELOOP']

/** Undefined where it cannot be created, as in a read-only repository: then no tool can create it either. */
function makePart(
  git: MountSource,
  name: string,
  kind: 'file' | 'folder',
): MountSource | undefined {
  const { descriptor, path } = git
  if (descriptor === undefined) return undefined
  const folder = { descriptor, path }
  try {
    if (kind === 'folder') makeFolder(folder, name)
    else makeFile(folder, name)
  } catch (error) {
    // Another start created it first, or no tool can create it either. A full disk is not among these codes.
    const code = systemCodeOf(error)
    if (code === undefined) throw error
    if (!CANNOT_BE_MADE.includes(code)) throw notPinned(`.git/${name}`, 'be made', error)
  }
  return holdPart(git, name, `.git/${name}`)
}

function makeFile(git: HeldFolder, name: string): void {
  const descriptor = openSync(pathIn(git, name), constants.O_CREAT | constants.O_EXCL, 0o644)
  try {
    giveTo(descriptor, fstatSync(git.descriptor))
  } finally {
    closeSync(descriptor)
  }
}

function makeFolder(git: HeldFolder, name: string): void {
  mkdirSync(pathIn(git, name), 0o755)
  const created = holdIn(git, name)
  try {
    const stats = fstatSync(created.descriptor)
    // A tool may have put another folder there meanwhile: only an empty folder changes its owner.
    const isOurs = stats.uid === process.getuid?.() && readdirSync(pathIn(created)).length === 0
    if (isOurs) giveTo(created.descriptor, fstatSync(git.descriptor))
  } finally {
    release(created)
  }
}

/** So that no file in a workspace becomes root's. */
function giveTo(descriptor: number, { uid, gid }: Stats): void {
  if (process.getuid?.() === 0) fchownSync(descriptor, uid, gid)
}
