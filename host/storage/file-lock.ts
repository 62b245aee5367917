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
  /** How long to wait for the holder; 0 tries once. */
  timeoutMs: number
  /** The code of the error when the wait was in vain. */
  code: ErrorCode
  /** The code where the lock file cannot be made at all. Default: the same. */
  codeOfFault?: ErrorCode
  /** How long a holder may be without a sign of life. Default: a minute. */
  staleMs?: number | undefined
}

/** A lock one has, for as long as one shows that one is alive. */
export interface HeldLock {
  /** @throws CodexboxError with the code of the options when somebody else has taken it over. */
  check(): Promise<void>
  release(): Promise<void>
}

/**
 * Takes the lock file `path`, which every process that uses the same path respects; the returned
 * function gives it back. The lock of a process that has died is taken over: at once when that can
 * be seen from here, else when it has shown no sign of life for `staleMs`. So a process that was
 * stopped for that long has lost its lock.
 * @throws CodexboxError with `options.code` when the holder kept it for longer than `timeoutMs`.
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

/** A lock that names nobody: its maker is between creating and writing it, or died there. */
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
  /** Tells this lock file, and this sign of life, from any other. */
  id: string
  ageMs: number
  process: ProcessIdentity | undefined
}

/** Tries once, and once more when the holder turns out to be gone. */
async function take(
  path: string,
  watch: Watch,
  options: FileLockOptions,
): Promise<FileHandle | undefined> {
  try {
    const file = await create(path)
    if (file) return file
    const holder = await look(path)
    const stillMs = holder ? watch(holder.id) : 0
    if (holder && !isGone(holder, stillMs, options)) return undefined
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
 * The time of the file is only believed where nothing better is known: it is of another clock, and
 * after a sleep of the whole machine every living holder looks old.
 */
function isGone({ process, ageMs }: Holder, stillMs: number, options: FileLockOptions): boolean {
  const { staleMs = STALE_MS } = options
  const state = process && stateOf(process)
  if (state === 'dead' || stillMs >= staleMs) return true
  if (state === 'unseen') return ageMs >= staleMs
  if (state === 'alive') return false
  const namelessMs = Math.min(NAMELESS_MS, staleMs)
  return ageMs >= namelessMs || stillMs >= namelessMs
}

/** For how long we have seen a holder without a sign of life. */
type Watch = (id: string) => number

function startWatch(): Watch {
  let seen: string | undefined
  let lookedAt = 0
  let stillMs = 0
  return (id) => {
    const now = performance.now()
    // While we did not look we may have been stopped, and the holder with us.
    stillMs = id === seen ? stillMs + Math.min(now - lookedAt, 3 * LAST_POLL_MS) : 0
    seen = id
    lookedAt = now
    return stillMs
  }
}

/**
 * Removes the lock of a dead holder. Between looking and removing, somebody else may have done the
 * same and taken the lock, which must not be removed; so whoever clears this very lock away first
 * claims that, and looks again.
 */
async function evict(path: string, dead: Holder): Promise<void> {
  const claimPath = `${path}.${dead.id}`
  const claim = await create(claimPath)
  if (!claim) {
    // A claim is held for moments: an old one was left by a process that died with it.
    const abandoned = await look(claimPath)
    if (abandoned && abandoned.ageMs > NAMELESS_MS) await removeIfThere(claimPath)
    return
  }
  try {
    const holder = await look(path)
    if (holder?.id === dead.id) await removeIfThere(path)
  } finally {
    await claim.close()
    await removeIfThere(claimPath)
  }
}

/** The new file, or undefined when there is one already. */
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

/** The open file is the proof: no other file has its number for as long as it is open. */
function held(path: string, file: FileHandle, options: FileLockOptions): HeldLock {
  const { staleMs = STALE_MS, code } = options
  const showLife = () => {
    const now = new Date()
    // Ours, whatever lies under the name by now. One that fails is made good by the next.
    file.utimes(now, now).catch(() => {})
  }
  const heartbeat = setInterval(showLife, staleMs / 4).unref()

  const isOurs = async () => {
    try {
      const there = await lstat(path, { bigint: true })
      const ours = await file.stat({ bigint: true })
      return there.ino === ours.ino && there.dev === ours.dev
    } catch {
      // Gone, or not to be seen: then it cannot be relied on.
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
        // The work is done. A lock that cannot be removed is taken over when its holder has gone.
      }
    },
  }
}

async function look(path: string): Promise<Holder | undefined> {
  try {
    const stats = await lstat(path)
    // One that cannot be read names nobody. Not even tried with a FIFO, which would hold us.
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
    // Half written or not ours: nobody is named.
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
  const holder = await look(path).catch(() => undefined)
  const pid = holder?.process?.pid
  const who = pid === undefined ? 'an unknown process' : `process ${pid}`
  const waited = options.timeoutMs > 0 ? ` Waited for it for ${options.timeoutMs / 1000} s.` : ''
  return new CodexboxError(
    options.code,
    `${path} is held by ${who}.${waited} Let it finish or end it, then try again; if no such process ` +
      'is running, delete that file.',
  )
}
