import { randomUUID } from 'node:crypto'
import { open, readFile, unlink } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { CodexboxError, type ErrorCode, systemCodeOf } from '../../shared/errors.ts'
import { processStart } from './process-start.ts'

export interface FileLockOptions {
  /** How long to wait for the holder; 0 tries once. */
  timeoutMs: number
  /** The code of the error when the wait was in vain. */
  code: ErrorCode
}

/**
 * Takes the lock file `path`, which every process that uses the same path respects; the returned
 * function gives it back. The lock of a process that has died is taken over; that of a living one
 * never is.
 * @throws CodexboxError with `options.code` when the holder kept it for longer than `timeoutMs`.
 */
export async function holdFileLock(
  path: string,
  options: FileLockOptions,
): Promise<() => Promise<void>> {
  const token = randomUUID()
  const giveUpAt = performance.now() + options.timeoutMs
  while (!(await take(path, token))) {
    if (performance.now() >= giveUpAt) throw await busy(path, options)
    await pause(POLL_MS * (0.5 + Math.random()))
  }
  return async () => {
    const holder = await readHolder(path)
    if (holder?.token === token) await removeIfThere(path)
  }
}

/** Runs `work` while holding the lock; fails like `holdFileLock`. */
export async function withFileLock<T>(
  path: string,
  work: () => Promise<T>,
  options: FileLockOptions,
): Promise<T> {
  const release = await holdFileLock(path, options)
  try {
    return await work()
  } finally {
    await release()
  }
}

const POLL_MS = 20

/** A lock without a readable holder: its maker is between creating and writing it, or died there. */
const NAMELESS_MS = 5_000

interface Holder {
  /** Tells this lock file from any later one of the same name. */
  id: string
  ageMs: number
  pid?: number
  /** When the process started, so that a later process with the same number is not mistaken for it. */
  start?: string
  token?: string
}

/** Tries once, and once more when the holder turns out to be gone. */
async function take(path: string, token: string): Promise<boolean> {
  const self = JSON.stringify({ pid: process.pid, start: processStart(process.pid), token })
  if (await create(path, self)) return true
  const holder = await readHolder(path)
  if (holder && isAlive(holder)) return false
  if (holder) await evict(path, holder)
  return create(path, self)
}

/**
 * Removes the lock of a dead holder. Between looking and removing, somebody else may have done the
 * same and taken the lock, which must not be removed; so whoever clears this very lock away first
 * claims that, and looks again.
 */
async function evict(path: string, dead: Holder): Promise<void> {
  const claim = `${path}.${dead.id}`
  if (!(await create(claim, ''))) {
    // A claim is held for moments: an old one was left by a process that died with it.
    const abandoned = await readHolder(claim)
    if (abandoned && abandoned.ageMs > NAMELESS_MS) await removeIfThere(claim)
    return
  }
  try {
    const holder = await readHolder(path)
    if (holder?.id === dead.id) await removeIfThere(path)
  } finally {
    await removeIfThere(claim)
  }
}

/** Whether the file was made by this call. */
async function create(path: string, text: string): Promise<boolean> {
  let file: Awaited<ReturnType<typeof open>>
  try {
    file = await open(path, 'wx', 0o600)
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') return false
    throw error
  }
  try {
    await file.writeFile(text)
    return true
  } catch (error) {
    await removeIfThere(path)
    throw error
  } finally {
    await file.close()
  }
}

async function readHolder(path: string): Promise<Holder | undefined> {
  let file: Awaited<ReturnType<typeof open>>
  try {
    file = await open(path, 'r')
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
  try {
    const { ino, mtimeMs } = await file.stat()
    const who = parseHolder(await file.readFile('utf8'))
    return { id: `${ino}-${mtimeMs}`, ageMs: Date.now() - mtimeMs, ...who }
  } finally {
    await file.close()
  }
}

function parseHolder(text: string): Pick<Holder, 'pid' | 'start' | 'token'> {
  try {
    const { pid, start, token } = JSON.parse(text)
    if (!Number.isSafeInteger(pid) || pid <= 0 || typeof token !== 'string') return {}
    return { pid, token, ...(typeof start === 'string' ? { start } : {}) }
  } catch {
    // Half written or not ours: nobody is named.
    return {}
  }
}

function isAlive(holder: Holder): boolean {
  if (holder.pid === undefined) return holder.ageMs < NAMELESS_MS
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    // EPERM: it lives, and is somebody else's.
    if (systemCodeOf(error) === 'ESRCH') return false
  }
  const start = processStart(holder.pid)
  return holder.start === undefined || start === undefined || start === holder.start
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error
  }
}

async function busy(path: string, options: FileLockOptions): Promise<CodexboxError> {
  const { pid } = parseHolder(await readFile(path, 'utf8').catch(() => ''))
  const who = pid === undefined ? 'an unknown process' : `process ${pid}`
  return new CodexboxError(
    options.code,
    `Waited ${options.timeoutMs / 1000} s for ${path}, which ${who} holds. Let it finish or end it, ` +
      'then try again; if no such process is running, delete that file.',
  )
}
