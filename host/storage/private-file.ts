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
 * The text of a file that is only its owner's. Opened first and judged by its descriptor, so that
 * nothing can be put in its place in between. `repair` closes it to others if it is open to them.
 * @throws CodexboxError `tokens-invalid` when it cannot be read.
 */
export function readPrivateFile(path: string, { repair }: { repair: boolean }): PrivateFile {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  let descriptor: number
  try {
    // Without O_NONBLOCK, a FIFO of that name would hold us for ever.
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
    // Nothing was written by it.
  }
}

/** Makes the folder if there is none, and closes it to others. @throws CodexboxError `tokens-invalid` */
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

/** What to do about a file or folder that is of no use as it is. */
export function notUsed(path: string, why: string, cause?: unknown): CodexboxError {
  return new CodexboxError(
    'tokens-invalid',
    `${path} is not used: ${why}. Move it away, or set CODEX_DATA_DIR to a folder of your own; ` +
      'then sign in again.',
    { cause },
  )
}

/** Windows has no owners and modes of this kind; the user's profile folder guards the file there. */
const hasModes = process.getuid !== undefined
const isForeign = (stats: Stats) => hasModes && stats.uid !== process.getuid?.()
const isOpenToOthers = (stats: Stats) => hasModes && (stats.mode & 0o077) !== 0
