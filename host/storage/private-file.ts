import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  openSync,
  readFileSync,
  type Stats,
  statSync,
} from 'node:fs'
import { CodexboxError, systemCodeOf } from '../../shared/errors.ts'
import { makePrivateFolder } from './make-folder.ts'

export type PrivateFile =
  | { status: 'none' }
  | { status: 'read'; text: string }
  | { status: 'damaged'; why: string }
  /** Not a file of ours. */
  | { status: 'strange'; why: string }

/**
 * The text of a file that is private to its owner. Opened first and checked by descriptor, so that the
 * file cannot be replaced in between. `repair` sets mode 0600 if others have access.
 * @throws CodexboxError `tokens-invalid` when it cannot be read.
 */
export function readPrivateFile(path: string, { repair }: { repair: boolean }): PrivateFile {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  let descriptor: number
  try {
    // Without O_NONBLOCK, the open of a FIFO would block for ever.
    descriptor = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    const code = systemCodeOf(error)
    if (code === 'ENOENT') return { status: 'none' }
    if (code === 'ELOOP') return { status: 'strange', why: 'it is a symbolic link' }
    throw notUsed(path, `it cannot be opened (${code})`, error)
  }
  try {
    const stats = fstatSync(descriptor)
    if (!stats.isFile()) return { status: 'strange', why: 'it is not a regular file' }
    if (isForeign(stats)) return { status: 'strange', why: 'it belongs to another user' }
    if (repair && isOpenToOthers(stats)) fchmodSync(descriptor, 0o600)
    if (stats.size > MAX_FILE_BYTES) return { status: 'damaged', why: 'it is larger than 1 MB' }
    return { status: 'read', text: readFileSync(descriptor, 'utf8') }
  } catch (error) {
    throw notUsed(path, `it cannot be read or secured (${systemCodeOf(error)})`, error)
  } finally {
    close(descriptor)
  }
}

function close(descriptor: number): void {
  try {
    closeSync(descriptor)
  } catch {
    // The descriptor was only read.
  }
}

/** Makes a missing folder, and sets mode 0700 if others have access. @throws CodexboxError `tokens-invalid` */
export function securePrivateFolder(folder: string): void {
  try {
    makePrivateFolder(folder)
    const stats = statSync(folder)
    if (isForeign(stats)) throw notUsed(folder, 'the folder belongs to another user')
    if (isOpenToOthers(stats)) chmodSync(folder, 0o700)
  } catch (error) {
    if (error instanceof CodexboxError) throw error
    throw notUsed(folder, `the folder cannot be made or secured (${systemCodeOf(error)})`, error)
  }
}

const MAX_FILE_BYTES = 1024 * 1024

/** The error for a file or folder that cannot be used, with a remedy. */
export function notUsed(path: string, why: string, cause?: unknown): CodexboxError {
  return new CodexboxError(
    'tokens-invalid',
    `${path} is not used: ${why}. Move it away, or set CODEX_DATA_DIR to a folder of your own; ` +
      'then sign in again.',
    { cause },
  )
}

/** Windows has no POSIX owners and modes; the user's profile folder protects the file there. */
const hasModes = process.getuid !== undefined
const isForeign = (stats: Stats) => hasModes && stats.uid !== process.getuid?.()
const isOpenToOthers = (stats: Stats) => hasModes && (stats.mode & 0o077) !== 0
