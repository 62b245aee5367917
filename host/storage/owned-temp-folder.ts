import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { lstat, readdir, rm, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { CodexboxError, messageOf, systemCodeOf } from '../../shared/errors.ts'
import { processIdentityOf, stateOf, thisProcess } from './process-identity.ts'

const PREFIX = 'codexbox-run-'
const OWNER_FILE = 'owner.json'

/** The longest path of a socket in such a folder. */
const LONGEST_SOCKET = join(`${PREFIX}XXXXXX`, 's', 'gateway.sock')

/** Limit of a socket's path on macOS; Linux takes 107. A longer path is silently cut, so the socket lies elsewhere. */
const MAX_SOCKET_BYTES = 103

/** For a folder without an owner file: its creator has not written it yet. */
const NAMELESS_MS = 60 * 60 * 1000

/** `/tmp` is the fallback where `TMPDIR` cannot be used. */
const parents = () => [...new Set([resolve(tmpdir()), resolve('/tmp')])]

/**
 * Makes a temporary folder with mode 0700 for any umask, and a file that names its owner process. Sockets in its
 * subfolders (`addSharedFolder`) have paths that are short enough. The owner removes it; the folder of a killed
 * process is removed by others (`removeAbandonedTempFolders`). The first usable parent is taken.
 * @throws CodexboxError `config-invalid` when no parent can be used
 */
export function makeOwnedTempFolder(among: readonly string[] = parents()): string {
  const reasons: string[] = []
  for (const parent of among) {
    const tooLong = whyTooLong(parent)
    try {
      if (!tooLong) return makeIn(parent)
      reasons.push(`${parent} ${tooLong}`)
    } catch (error) {
      reasons.push(`${parent} ${failureText(error)}`)
    }
  }
  throw new CodexboxError(
    'config-invalid',
    `No temporary folder could be made: ${reasons.join(', and ')}. ` +
      'Set TMPDIR to a folder with a short path that you can write to.',
  )
}

/** Makes a subfolder that every user may read who can reach it, such as through a mount. */
export function addSharedFolder(folder: string, name: string): string {
  const path = join(folder, name)
  mkdirSync(path)
  chmodSync(path, 0o755)
  return path
}

function whyTooLong(parent: string): string | undefined {
  const bytes = Buffer.byteLength(join(parent, LONGEST_SOCKET))
  if (bytes <= MAX_SOCKET_BYTES) return undefined
  return `has too long a path (a socket in it has ${bytes} bytes, and may have ${MAX_SOCKET_BYTES})`
}

function makeIn(parent: string): string {
  // Synchronous, so that the folder has its owner file almost at once.
  const folder = mkdtempSync(join(parent, PREFIX))
  const owner = join(folder, OWNER_FILE)
  try {
    chmodSync(folder, 0o700)
    writeFileSync(owner, JSON.stringify(thisProcess()), { mode: 0o600 })
    chmodSync(owner, 0o600)
    return folder
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
}

const FAILURES: NodeJS.Dict<string> = {
  ENOENT: 'is not there',
  ENOTDIR: 'is no folder',
  EACCES: 'cannot be written to',
  EPERM: 'cannot be written to',
  EROFS: 'is read-only',
  ENOSPC: 'has no room left',
  EDQUOT: 'has no room left for you',
}

function failureText(error: unknown): string {
  return FAILURES[systemCodeOf(error) ?? ''] ?? `cannot be used (${messageOf(error)})`
}

/**
 * Removes such folders of dead processes of this user. Never rejects: the next process tries again.
 * Returns the removed folders.
 */
export async function removeAbandonedTempFolders(among = parents()): Promise<string[]> {
  const folders = (await Promise.all(among.map(foldersIn))).flat()
  const removed = await Promise.all(
    folders.map((folder) => removeIfAbandoned(folder).catch(() => false)),
  )
  return folders.filter((_, index) => removed[index])
}

async function foldersIn(parent: string): Promise<string[]> {
  const names = await readdir(parent).catch(() => [])
  return names.filter((name) => name.startsWith(PREFIX)).map((name) => join(parent, name))
}

async function removeIfAbandoned(folder: string): Promise<boolean> {
  // Any user may make a folder or a link with such a name.
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
