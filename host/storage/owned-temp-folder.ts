import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { lstat, readdir, rm, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { processIdentityOf, stateOf, thisProcess } from './process-identity.ts'

/** Short: a socket in the folder may have a path of 104 bytes in all. */
const PREFIX = 'codexbox-run-'
const OWNER_FILE = 'owner.json'

/** One without a name in it: its maker has not come to write it. */
const NAMELESS_MS = 60 * 60 * 1000

/**
 * Makes a folder among the temporary ones that only this user may look into, and that says whose it
 * is. Its maker removes it; what is left of one that was killed is removed by others.
 * @throws Error when there is no room
 */
export function makeOwnedTempFolder(parent = tmpdir()): string {
  // At once, so that hardly anything comes between the folder and the name in it.
  const folder = mkdtempSync(join(parent, PREFIX))
  writeFileSync(join(folder, OWNER_FILE), JSON.stringify(thisProcess()), { mode: 0o600 })
  return folder
}

/**
 * Removes such folders of processes that have died, of this user only. Never rejects: who comes next
 * tries again. Returns those it has removed.
 */
export async function removeAbandonedTempFolders(parent = tmpdir()): Promise<string[]> {
  const names = await readdir(parent).catch(() => [])
  const folders = names.filter((name) => name.startsWith(PREFIX)).map((name) => join(parent, name))
  const removed = await Promise.all(
    folders.map((folder) => removeIfAbandoned(folder).catch(() => false)),
  )
  return folders.filter((_, index) => removed[index])
}

async function removeIfAbandoned(folder: string): Promise<boolean> {
  // Anybody may make one of such a name, or a link.
  const stats = await lstat(folder)
  if (!stats.isDirectory() || stats.uid !== (process.getuid?.() ?? stats.uid)) return false
  const owner = ownerOf(folder)
  if (owner) {
    if (stateOf(owner) !== 'dead') return false
    await rm(folder, { recursive: true, force: true })
    return true
  }
  if (Date.now() - stats.mtimeMs < NAMELESS_MS) return false
  await rmdir(folder) // Refused unless it is empty.
  return true
}

function ownerOf(folder: string) {
  try {
    return processIdentityOf(JSON.parse(readFileSync(join(folder, OWNER_FILE), 'utf8')))
  } catch {
    return undefined
  }
}
