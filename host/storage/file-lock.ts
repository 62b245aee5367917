import { type FileHandle, lstat, open, readFile, unlink } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { CodexboxError, type ErrorCode, systemCodeOf } from '../../shared/errors.ts'
import {
  type ProcessIdentity,
  processIdentityOf,
  stateOf,
  thisProcess,
} from './process-identity.ts'

export interface FileLockOptions {
  /** How long to wait for the holder; 0 means one attempt. */
  timeoutMs: number
  /** The code of the error after the timeout. */
  code: ErrorCode
  /** The code where the lock file cannot be made at all. Default: the same. */
  codeOfFault?: ErrorCode
  /** How long a holder may go without a heartbeat. Default: a minute. */
  staleMs?: number | undefined
}

/** A held lock; it lasts as long as the heartbeat of its holder. */
export interface HeldLock {
  /** @throws CodexboxError with `options.code` when another process has taken the lock over. */
  check(): Promise<void>
  release(): Promise<void>
}

/**
 * Takes the lock file `path`, which every process that uses the same path respects; the returned
 * function releases it. The lock of a dead process is taken over: at once when its death can be seen
 * from here, otherwise after `staleMs` without a heartbeat. So a process that was stopped for that long
 * has lost its lock.
 * @throws CodexboxError with `options.code` when the holder did not release it within `timeoutMs`.
 */
export async function holdFileLock(
  path: string,
  options: FileLockOptions,
): Promise<() => Promise<void>> {
  const lock = await acquire(path, options)
  return lock.release
}

/** Runs `work` while holding the lock; fails like `holdFileLock`. */
export async function withFileLock<T>(
  path: string,
  work: (lock: HeldLock) => Promise<T>,
  options: FileLockOptions,
): Promise<T> {
  const lock = await acquire(path, options)
  try {
    return await work(lock)
  } finally {
    await lock.release()
  }
}

const STALE_MS = 60_000

/** For a lock file without an owner: its creator has not written it yet, or died before. */
const NAMELESS_MS = 5_000

const FIRST_POLL_MS = 10
const LAST_POLL_MS = 100

async function acquire(path: string, options: FileLockOptions): Promise<HeldLock> {
  const giveUpAt = performance.now() + options.timeoutMs
  const watch = startWatch()
  for (let pollMs = FIRST_POLL_MS; ; pollMs = Math.min(pollMs * 1.5, LAST_POLL_MS)) {
    const file = await take(path, watch, options)
    if (file) return held(path, file, options)
    if (performance.now() >= giveUpAt) throw await busy(path, options)
    await pause(pollMs * (0.5 + Math.random()))
  }
}

interface Holder {
  /** Identifies this lock file and its last heartbeat. */
  id: string
  ageMs: number
  process: ProcessIdentity | undefined
}

/** One attempt, and a second one when the holder is gone. */
async function take(
  path: string,
  watch: Watch,
  options: FileLockOptions,
): Promise<FileHandle | undefined> {
  try {
    const file = await create(path)
    if (file) return file
    const holder = await readHolder(path)
    const silentMs = holder ? watch(holder.id) : 0
    if (holder && !isGone(holder, silentMs, options)) return undefined
    if (holder) await evict(path, holder)
    return await create(path)
  } catch (error) {
    throw new CodexboxError(
      options.codeOfFault ?? options.code,
      `Could not make the lock file ${path} (${systemCodeOf(error)}); nothing was done. Make room ` +
        'or give write access, then try again.',
      { cause: error },
    )
  }
}

/**
 * The file's time counts only where nothing better is known: it may come from another clock, and after
 * a sleep of the whole machine every living holder looks old.
 */
function isGone({ process, ageMs }: Holder, silentMs: number, options: FileLockOptions): boolean {
  const { staleMs = STALE_MS } = options
  const state = process && stateOf(process)
  if (state === 'dead' || silentMs >= staleMs) return true
  if (state === 'unseen') return ageMs >= staleMs
  if (state === 'alive') return false
  const namelessMs = Math.min(NAMELESS_MS, staleMs)
  return ageMs >= namelessMs || silentMs >= namelessMs
}

/** How long we have watched the holder `id` without a heartbeat, in ms. */
type Watch = (id: string) => number

function startWatch(): Watch {
  let seen: string | undefined
  let seenAt = 0
  let silentMs = 0
  return (id) => {
    const now = performance.now()
    // A long gap does not count in full: we may have been stopped, and the holder with us.
    silentMs = id === seen ? silentMs + Math.min(now - seenAt, 3 * LAST_POLL_MS) : 0
    seen = id
    seenAt = now
    return silentMs
  }
}

/**
 * Removes the lock of a dead holder. Between check and removal another process may have done the same
 * and taken the lock, which must not be removed. So a process first creates a claim file for this very
 * lock file, and checks again.
 */
async function evict(path: string, dead: Holder): Promise<void> {
  const claimPath = `${path}.${dead.id}`
  const claim = await create(claimPath)
  if (!claim) {
    // A claim lasts for moments: an old one belongs to a process that died.
    const abandoned = await readHolder(claimPath)
    if (abandoned && abandoned.ageMs > NAMELESS_MS) await removeIfThere(claimPath)
    return
  }
  try {
    const holder = await readHolder(path)
    if (holder?.id === dead.id) await removeIfThere(path)
  } finally {
    await claim.close()
    await removeIfThere(claimPath)
  }
}

/** The new file, or undefined when the file exists already. */
async function create(path: string): Promise<FileHandle | undefined> {
  let file: FileHandle
  try {
    file = await open(path, 'wx', 0o600)
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') return undefined
    throw error
  }
  try {
    await file.writeFile(JSON.stringify(thisProcess()))
    return file
  } catch (error) {
    await file.close()
    await removeIfThere(path)
    throw error
  }
}

/** The open file proves the ownership: its inode number is not reused while it is open. */
function held(path: string, file: FileHandle, options: FileLockOptions): HeldLock {
  const { staleMs = STALE_MS, code } = options
  const beat = () => {
    const now = new Date()
    // By descriptor: another file may have the path by now. The next beat makes up for a failed one.
    file.utimes(now, now).catch(() => {})
  }
  const heartbeat = setInterval(beat, staleMs / 4).unref()

  const isOurs = async () => {
    try {
      const current = await lstat(path, { bigint: true })
      const ours = await file.stat({ bigint: true })
      return current.ino === ours.ino && current.dev === ours.dev
    } catch {
      // The file is gone or cannot be read, so the lock cannot be relied on.
      return false
    }
  }
  return {
    check: async () => {
      if (await isOurs()) return
      throw new CodexboxError(
        code,
        `${path} was lost to another process, because this one was stopped for too long. Try again.`,
      )
    },
    release: async () => {
      clearInterval(heartbeat)
      try {
        const ours = await isOurs()
        await file.close()
        if (ours) await removeIfThere(path)
      } catch {
        // The work is done. A lock that cannot be removed is taken over after the exit of its holder.
      }
    },
  }
}

async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    const stats = await lstat(path)
    // An unreadable file has no owner. A FIFO is not opened, because the read would block.
    const text = stats.isFile() ? await readFile(path, 'utf8').catch(() => '') : ''
    const id = `${stats.ino}-${stats.mtimeMs}`
    return { id, ageMs: Date.now() - stats.mtimeMs, process: parseHolder(text) }
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

function parseHolder(text: string): ProcessIdentity | undefined {
  try {
    return processIdentityOf(JSON.parse(text))
  } catch {
    // Incomplete or not a lock file of ours: no owner.
    return undefined
  }
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error
  }
}

async function busy(path: string, options: FileLockOptions): Promise<CodexboxError> {
  const holder = await readHolder(path).catch(() => undefined)
  const pid = holder?.process?.pid
  const who = pid === undefined ? 'an unknown process' : `process ${pid}`
  const waited = options.timeoutMs > 0 ? ` Waited for it for ${options.timeoutMs / 1000} s.` : ''
  return new CodexboxError(
    options.code,
    `${path} is held by ${who}.${waited} Let it finish or end it, then try again; if no such process ` +
      'is running, delete that file.',
  )
}
