import { accessSync, constants, realpathSync, type Stats, statSync } from 'node:fs'
import { basename, dirname, join, sep } from 'node:path'
import { CodexboxError, systemCodeOf } from '../../shared/errors.ts'

export interface Workspace {
  /** Absolute, links resolved: what is checked here is what gets mounted. */
  path: string
  /** Who runs the tools, so that files belong to whom they should; undefined on Windows. */
  user: { uid: number; gid: number } | undefined
}

/**
 * Checks a folder that is to be handed to an agent.
 * @throws CodexboxError `workspace-invalid`: missing, not a folder, not writable, or one that would
 * hand out our own data folder with the tokens.
 */
export function openWorkspace(folder: string, dataDir: string): Workspace {
  const path = resolveFolder(folder)
  const stats = statSync(path)
  if (!stats.isDirectory()) throw refused(folder, 'is a file; name the folder it is in')
  if (path === sep)
    throw refused(folder, 'is the root of the file system; name a folder for the work')
  const data = futurePath(dataDir)
  if (contains(path, data) || contains(data, path)) {
    throw refused(
      folder,
      `would give the agent our data folder ${dataDir}, which holds the sign-in`,
    )
  }
  if (!isWritable(path)) throw refused(folder, 'is not writable for this user')
  return { path, user: toolUser(stats) }
}

/** Whoever started us. Root works for the owner of the folder, so that nothing in it becomes root's. */
function toolUser(stats: Stats): Workspace['user'] {
  const uid = process.getuid?.()
  const gid = process.getgid?.()
  if (uid === undefined || gid === undefined) return undefined
  return uid === 0 ? { uid: stats.uid, gid: stats.gid } : { uid, gid }
}

function resolveFolder(folder: string): string {
  try {
    return realpathSync(folder)
  } catch (error) {
    const why =
      systemCodeOf(error) === 'ENOENT'
        ? 'does not exist'
        : `cannot be opened (${systemCodeOf(error)})`
    throw refused(folder, why, error)
  }
}

/** The data folder may not be there yet; its place counts all the same, links resolved. */
function futurePath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    const parent = dirname(path)
    return parent === path ? path : join(futurePath(parent), basename(path))
  }
}

function contains(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep)
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}

function refused(folder: string, why: string, cause?: unknown): CodexboxError {
  return new CodexboxError('workspace-invalid', `The workspace ${folder} ${why}.`, { cause })
}
