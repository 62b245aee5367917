import { randomUUID } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  type Stats,
  statSync,
} from 'node:fs'
import { type FileHandle, open, rename, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CodexboxError, systemCodeOf } from '../../shared/errors.ts'
import { setupCommand } from '../package-root.ts'
import { withFileLock } from '../storage/file-lock.ts'
import { Tokens } from './tokens.ts'

/**
 * Where the sign-in is kept. Everything throws CodexboxError `tokens-invalid` for a file that is
 * there but cannot be trusted or read; it is then left as it is.
 */
export interface TokenStore {
  /** A look without lock, repair or wait. */
  peek(): Tokens | undefined
  read(): Promise<Tokens | undefined>
  /**
   * Read, change, write, while no other process can. `change` gets what is stored at that moment
   * and returns what shall be; returning the same object writes nothing. If it throws, nothing has
   * happened. Throws `refresh-failed` when the lock or the disk could not be had.
   */
  update(change: (current: Tokens | undefined) => Promise<Tokens>): Promise<Tokens>
  /** Throws now what `replace` would throw later, so that no sign-in is made for nothing. */
  prepare(): Promise<void>
  /** Puts a new sign-in in the place of whatever is there. A damaged file is set aside, not lost. */
  replace(tokens: Tokens): Promise<void>
  remove(): Promise<void>
}

/** The store in `codex-tokens.json` of the data folder: the folder 0700, the file 0600. */
export function fileTokenStore(dataDir: string): TokenStore {
  const path = join(dataDir, 'codex-tokens.json')

  const locked = <T>(code: SaveFailure, work: () => Promise<T>) => {
    secureFolder(dataDir)
    return withFileLock(`${path}.lock`, work, { timeoutMs: LOCK_TIMEOUT_MS, code })
  }

  return {
    peek: () => tokensOf(load(path, { repair: false }), path),
    read: async () => tokensOf(load(path, { repair: true }), path),
    update: (change) =>
      locked('refresh-failed', async () => {
        const current = tokensOf(load(path, { repair: true }), path)
        const reservation = await reserve(path, 'refresh-failed')
        let changed = current
        try {
          changed = await change(current)
        } finally {
          if (changed === current) await reservation.discard()
        }
        if (changed !== current) await reservation.commit(changed)
        return changed
      }),
    prepare: async () => {
      secureFolder(dataDir)
      load(path, { repair: true })
    },
    replace: (tokens) =>
      locked('sign-in-failed', async () => {
        const loaded = load(path, { repair: true })
        const reservation = await reserve(path, 'sign-in-failed')
        if (loaded.status === 'damaged') await rename(path, `${path}.damaged-${Date.now()}`)
        await reservation.commit(tokens)
      }),
    remove: () =>
      locked('sign-in-failed', async () => {
        if (load(path, { repair: false }).status !== 'none') await unlink(path)
      }),
  }
}

/** Longer than one renewal of another process may take, with room for a second. */
const LOCK_TIMEOUT_MS = 75_000
const MAX_FILE_BYTES = 1024 * 1024

type Loaded =
  | { status: 'none' }
  | { status: 'tokens'; tokens: Tokens }
  | { status: 'damaged'; why: string }

function tokensOf(loaded: Loaded, path: string): Tokens | undefined {
  if (loaded.status === 'none') return undefined
  if (loaded.status === 'tokens') return loaded.tokens
  throw new CodexboxError(
    'tokens-invalid',
    `${path} is damaged: ${loaded.why}. It is left as it is. Put back a good copy, or sign in ` +
      `again with \`${setupCommand('codex-auth')} --force\`, which sets it aside.`,
  )
}

/** Opened first and judged by its descriptor, so that nothing can be put in its place in between. */
function load(path: string, { repair }: { repair: boolean }): Loaded {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  let descriptor: number
  try {
    // Without O_NONBLOCK, a FIFO of that name would hold us for ever.
    descriptor = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    const code = systemCodeOf(error)
    if (code === 'ENOENT') return { status: 'none' }
    if (code === 'ELOOP') throw refuse(path, 'it is a symbolic link')
    throw refuse(path, `it cannot be opened (${code})`, error)
  }
  try {
    const stats = fstatSync(descriptor)
    if (!stats.isFile()) throw refuse(path, 'it is not a regular file')
    if (isForeign(stats)) throw refuse(path, 'it belongs to another user')
    if (stats.size > MAX_FILE_BYTES) return { status: 'damaged', why: 'it is larger than 1 MB' }
    if (repair && isOpenToOthers(stats)) fchmodSync(descriptor, 0o600)
    return parse(readFileSync(descriptor, 'utf8'))
  } finally {
    closeSync(descriptor)
  }
}

/** Says which field is wrong, never what stands in it. */
function parse(text: string): Loaded {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    // The parser's message quotes the text, and that is tokens.
    return { status: 'damaged', why: text.trim() === '' ? 'it is empty' : 'it is not JSON' }
  }
  const parsed = Tokens.safeParse(json)
  if (parsed.success) return { status: 'tokens', tokens: parsed.data }
  const fields = new Set(parsed.error.issues.map((issue) => String(issue.path[0] ?? 'the whole')))
  return { status: 'damaged', why: `missing or wrong: ${[...fields].join(', ')}` }
}

function refuse(path: string, why: string, cause?: unknown): CodexboxError {
  return new CodexboxError(
    'tokens-invalid',
    `${path} is not used: ${why}. Move it away, or set CODEX_DATA_DIR to a folder of your own; ` +
      'then sign in again.',
    { cause },
  )
}

function secureFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const stats = statSync(folder)
    if (isForeign(stats)) throw refuse(folder, 'the folder belongs to another user')
    if (isOpenToOthers(stats)) chmodSync(folder, 0o700)
  } catch (error) {
    if (error instanceof CodexboxError) throw error
    throw refuse(folder, `the folder cannot be made or secured (${systemCodeOf(error)})`, error)
  }
}

/** Windows has no owners and modes of this kind; the user's profile folder guards the file there. */
const hasModes = process.getuid !== undefined
const isForeign = (stats: Stats) => hasModes && stats.uid !== process.getuid?.()
const isOpenToOthers = (stats: Stats) => hasModes && (stats.mode & 0o077) !== 0

/** A place on the disk for the next version of a file, before it is known. */
interface Reservation {
  commit(tokens: Tokens): Promise<void>
  discard(): Promise<void>
}

/**
 * Old or new, never half: a crash at any point leaves a whole file under the name. The room is taken
 * before the change is made, because a refresh token that is spent and cannot be saved is lost.
 */
async function reserve(path: string, code: SaveFailure): Promise<Reservation> {
  const temporary = `${path}.${process.pid}-${randomUUID()}.tmp`
  const failed = (error: unknown, then: string) =>
    new CodexboxError(
      code,
      `Could not save the sign-in to ${path} (${systemCodeOf(error)}); ${then}. Make room or give ` +
        'write access, then try again.',
      { cause: error },
    )

  let file: FileHandle
  try {
    file = await open(temporary, 'wx', 0o600)
  } catch (error) {
    throw failed(error, 'nothing was changed')
  }
  const discard = async () => {
    await file.close()
    await unlink(temporary)
  }
  try {
    await file.writeFile(Buffer.alloc(RESERVED_BYTES, ' '))
    await file.sync()
  } catch (error) {
    await discard()
    throw failed(error, 'nothing was changed')
  }

  const commit = async (tokens: Tokens) => {
    try {
      const bytes = Buffer.from(`${JSON.stringify(tokens, null, 2)}\n`)
      await writeAll(file, bytes)
      await file.truncate(bytes.length)
      await file.sync()
      await file.close()
      await rename(temporary, path)
      await syncFolder(dirname(path))
    } catch (error) {
      // The copy may be the only one of a new refresh token: it is not removed.
      throw failed(error, `the file there is as it was, the new one may be in ${temporary}`)
    }
  }
  return { commit, discard }
}

type SaveFailure = 'refresh-failed' | 'sign-in-failed'

/** More than any sign-in takes. */
const RESERVED_BYTES = 64 * 1024

/** From the start of the file, and to the last byte: one `write` may write less than it was given. */
async function writeAll(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += (await file.write(bytes, at, bytes.length - at, at)).bytesWritten
  }
}

/** Or a power cut could undo the rename, and bring back a refresh token already spent. */
async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle | undefined
  try {
    handle = await open(folder, 'r')
    await handle.sync()
  } catch (error) {
    // Windows and some network file systems cannot sync a folder; the rename stands all the same.
    if (!NO_FOLDER_SYNC.includes(systemCodeOf(error) ?? '')) throw error
  } finally {
    await handle?.close()
  }
}

const NO_FOLDER_SYNC = ['EINVAL', 'EISDIR', 'EPERM', 'EACCES', 'ENOTSUP']
