import { randomUUID } from 'node:crypto'
import { type FileHandle, open, readdir, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { systemCodeOf } from '../../shared/errors.ts'
import type { HeldLock } from './file-lock.ts'

/**
 * Replaces the content of the file by `text` atomically: after an interruption it is old or new, never
 * half. If `lock` was lost meanwhile, the call fails and changes nothing. Rejects with the system error.
 */
export async function saveFile(path: string, text: string, lock: HeldLock): Promise<void> {
  const temporary = `${path}.${randomUUID()}${TEMPORARY}`
  try {
    await writeDurably(temporary, text)
    // Checked once the temporary file exists: a process that takes the lock over later removes that file
    // first, so that the rename fails.
    await lock.check()
    await rename(temporary, path)
  } catch (error) {
    await unlink(temporary).catch(() => {}) // The first error matters more.
    throw error
  }
  await syncFolder(dirname(path))
}

const TEMPORARY = '.tmp'

/** Cancels every save of `path` that has not reached its rename: of dead processes, and of former lock holders. */
export async function removeTemporaries(path: string): Promise<void> {
  for (const temporary of await siblingsOf(path, TEMPORARY)) await removeIfThere(temporary)
}

/** The files beside `path` named `<name>.<…><ending>`. */
export async function siblingsOf(path: string, ending: string): Promise<string[]> {
  const folder = dirname(path)
  const names = await readdir(folder)
  return names
    .filter((name) => name.startsWith(`${basename(path)}.`) && name.endsWith(ending))
    .map((name) => join(folder, name))
}

export async function removeIfThere(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error
  }
}

/** Otherwise a power cut could undo a rename or a new file in the folder. */
export async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle | undefined
  try {
    handle = await open(folder, 'r')
    await handle.sync()
  } catch (error) {
    // Windows and some network file systems cannot sync a folder; the change is done all the same.
    if (!NO_FOLDER_SYNC.includes(systemCodeOf(error) ?? '')) throw error
  } finally {
    await handle?.close()
  }
}

const NO_FOLDER_SYNC = ['EINVAL', 'EISDIR', 'EPERM', 'EACCES', 'ENOTSUP']

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}
