import { randomUUID } from 'node:crypto'
import { type FileHandle, open, readdir, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { systemCodeOf } from '../../shared/errors.ts'
import type { HeldLock } from './file-lock.ts'

/**
 * Puts `text` in the place of the file: old or new, never half, whenever it is interrupted. Whoever
 * has lost `lock` meanwhile fails, and changes nothing. Rejects with the system error.
 */
export async function saveFile(path: string, text: string, lock: HeldLock): Promise<void> {
  const temporary = `${path}.${randomUUID()}${TEMPORARY}`
  try {
    await writeDurably(temporary, text)
    // Looked at with the file in place: whoever takes the lock over from now on removes it first, and
    // then there is nothing to rename.
    await lock.check()
    await rename(temporary, path)
  } catch (error) {
    await unlink(temporary).catch(() => {}) // Its failure matters less than that one.
    throw error
  }
  await syncFolder(dirname(path))
}

const TEMPORARY = '.tmp'

/** Ends every save of `path` that has not reached its rename: of the dead, and of who lost the lock. */
export async function removeTemporaries(path: string): Promise<void> {
  for (const temporary of await siblingsOf(path, TEMPORARY)) await removeIfThere(temporary)
}

/** The files beside `path` that have its name, something more, and the ending. */
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

/** Or a power cut could undo what was done to the names in it. */
export async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle | undefined
  try {
    handle = await open(folder, 'r')
    await handle.sync()
  } catch (error) {
    // Windows and some network file systems cannot sync a folder; what was done stands all the same.
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
