import { createHash, randomUUID } from 'node:crypto'
import { writeSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import { CodexboxError, systemCodeOf } from '../../../shared/errors.ts'
import type { HeldLock } from '../../storage/file-lock.ts'
import { readPrivateFile } from '../../storage/private-file.ts'
import { processIdentityOf, stateOf, thisProcess } from '../../storage/process-identity.ts'
import { removeIfThere, siblingsOf, syncFolder } from '../../storage/save-file.ts'
import { type RawReply, type TokenReply, tokenReply } from '../token-endpoint.ts'
import type { Tokens } from '../tokens.ts'
import { turnPath } from './turn.ts'

/**
 * Spends the refresh token of `current` by `send`, and returns the answer. A process may die at any
 * time, because the state is on the disk before and after the request: an answer that a dead process
 * had received is returned instead of a second request, which would end the sign-in.
 * @throws CodexboxError `refresh-failed` when it may not or cannot be spent now; the errors of `send`.
 */
export type Spend = (current: Tokens, send: () => Promise<TokenReply>) => Promise<Spent>

export interface Spent {
  reply: TokenReply
  /** Whether this token was sent before, with an unknown outcome. */
  isRepeat: boolean
}

export interface RenewalJournal {
  spend: Spend
  /** Removes the answer, once it is stored or known to be unusable. */
  clear(): Promise<void>
}

/**
 * Writes a file for each running renewal, beside the tokens: a line with the intent (the hash of the
 * refresh token, and the process), then a line with the answer. Its disk space is reserved before the
 * token is spent, because an answer that cannot be saved is lost.
 */
export function renewalJournal(tokensPath: string, lock: HeldLock): RenewalJournal {
  const answered: string[] = []

  return {
    spend: async (current, send) => {
      const { answer, unanswered } = await orNothingSent(readLeftovers(tokensPath, current))
      if (answer) {
        answered.push(answer.path)
        return answer
      }
      const isRepeat = unanswered.length > 0
      const entry = await orNothingSent(createEntry({ tokensPath, current, isRepeat, lock }))
      for (const path of unanswered) await removeIfThere(path).catch(() => {})
      const reply = await send().catch(async (error: unknown) => {
        await entry.write(UNKNOWN)
        throw error
      })
      await entry.write(reply)
      if (isReadable(reply)) answered.push(entry.path)
      return { reply, isRepeat }
    },
    clear: async () => {
      // An entry that stays is recognised as stored (`isStored`).
      for (const path of answered.splice(0)) await removeIfThere(path).catch(() => {})
    },
  }
}

/** Removes the entries of all renewals, because their tokens are replaced or removed. */
export async function forgetRenewals(tokensPath: string): Promise<void> {
  for (const path of await siblingsOf(tokensPath, ENDING)) await removeIfThere(path)
  await removeIfThere(turnPath(tokensPath))
}

const ENDING = '.renewal'

/**
 * False for a success without a token. Its entry stays: the token is most likely spent, which the next
 * attempt has to know.
 */
function isReadable({ status, json }: TokenReply): boolean {
  return status !== 200 || z.object({ access_token: z.string().min(1) }).safeParse(json).success
}

/** Written instead of an answer: the process is alive and did not get one. */
const UNKNOWN = 'unknown'

async function orNothingSent<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (error instanceof CodexboxError) throw error
    throw new CodexboxError(
      'refresh-failed',
      `Could not renew the sign-in: there is no place to keep the new one (${systemCodeOf(error)}); ` +
        'nothing was sent. Make room or give write access, then try again.',
      { cause: error },
    )
  }
}

interface Leftovers {
  answer?: Spent & { path: string }
  /** Entries of renewals with this token whose answer will never come. */
  unanswered: string[]
}

/** The entries that other processes left of renewals with this refresh token. Removes entries of other tokens. */
async function readLeftovers(tokensPath: string, current: Tokens): Promise<Leftovers> {
  const leftovers: Leftovers = { unanswered: [] }
  const running: number[] = []
  for (const path of await siblingsOf(tokensPath, ENDING)) {
    const entry = read(path)
    if (entry?.fingerprint !== fingerprintOf(current) || isStored(entry.reply, current)) {
      await removeIfThere(path)
    } else if (entry.reply) {
      leftovers.answer = { path, reply: entry.reply, isRepeat: entry.isRepeat }
    } else if (entry.running === undefined) leftovers.unanswered.push(path)
    else running.push(entry.running)
  }
  const [pid] = running
  if (pid !== undefined && !leftovers.answer) throw stillRunning(pid)
  return leftovers
}

/**
 * The process held the lock and was stopped until the lock was taken over. When it continues, it sends
 * the token, or has sent it already.
 */
function stillRunning(pid: number): CodexboxError {
  return new CodexboxError(
    'refresh-failed',
    `Could not renew the sign-in: process ${pid} is in the middle of doing so and was stopped. Let ` +
      `it go on (kill -CONT ${pid}) or end it, then try again.`,
  )
}

interface Entry {
  fingerprint: string
  isRepeat: boolean
  reply: TokenReply | undefined
  /** The process that may still bring the answer. */
  running: number | undefined
}

const Intent = z.object({
  refresh_token_sha256: z.string(),
  is_repeat: z.boolean(),
  process: z.unknown(),
})
const Reply = z.object({
  status: z.number(),
  body: z.string(),
  retryAfter: z.string().optional(),
}) satisfies z.ZodType<RawReply>

/** Undefined for an unusable file. An incomplete answer counts as none. */
function read(path: string): Entry | undefined {
  const file = readPrivateFile(path, { repair: true })
  if (file.status !== 'read') return undefined
  const [first = '', second = ''] = file.text.split('\n')
  const intent = Intent.safeParse(parseJson(first)).data
  if (!intent) return undefined
  const outcome = parseJson(second)
  const raw = Reply.safeParse(outcome).data
  const reply = raw && tokenReply(raw)
  const process = processIdentityOf(intent.process)
  const mayAnswer = process && !raw && outcome !== UNKNOWN && stateOf(process) === 'alive'
  return {
    fingerprint: intent.refresh_token_sha256,
    isRepeat: intent.is_repeat,
    reply: reply && isReadable(reply) ? reply : undefined,
    running: mayAnswer ? process.pid : undefined,
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's message is dropped: it quotes the text, which may hold tokens.
    return undefined
  }
}

/** True when the process died after it stored the answer and before it removed the entry. */
function isStored(reply: TokenReply | undefined, current: Tokens): boolean {
  const stored = z.object({ access_token: z.literal(current.access_token) })
  return stored.safeParse(reply?.json).success
}

function fingerprintOf({ refresh_token }: Tokens): string {
  return createHash('sha256').update(refresh_token).digest('hex')
}

/** An entry on the disk with the intent, and room for the answer. */
interface OpenEntry {
  path: string
  /** Never rejects: the answer can be stored in the token file even if this write fails. */
  write(outcome: RawReply | typeof UNKNOWN): Promise<void>
}

/** More than any answer takes. */
const RESERVED_BYTES = 64 * 1024

interface EntryOptions {
  tokensPath: string
  current: Tokens
  isRepeat: boolean
  lock: HeldLock
}

async function createEntry(options: EntryOptions): Promise<OpenEntry> {
  const { tokensPath, current, isRepeat, lock } = options
  const path = `${tokensPath}.${randomUUID()}${ENDING}`
  const intent = {
    refresh_token_sha256: fingerprintOf(current),
    started_at: Date.now(),
    is_repeat: isRepeat,
    process: thisProcess(),
  }
  const line = `${JSON.stringify(intent)}\n`
  let file: FileHandle | undefined
  try {
    file = await open(path, 'wx', 0o600)
    await file.writeFile(line.padEnd(RESERVED_BYTES, ' '))
    await file.sync()
    await syncFolder(dirname(path))
    await lock.check()
  } catch (error) {
    await file?.close().catch(() => {})
    if (file) await removeIfThere(path).catch(() => {})
    throw error
  }
  return { path, write: (outcome) => completeEntry(file, path, line, outcome) }
}

async function completeEntry(
  file: FileHandle,
  path: string,
  line: string,
  outcome: RawReply | typeof UNKNOWN,
): Promise<void> {
  // Only the raw fields: the answer is not parsed before it is on the disk.
  const fields = ['status', 'retryAfter', 'body'] satisfies (keyof RawReply)[]
  const bytes = Buffer.from(`${JSON.stringify(outcome, fields)}\n`)
  try {
    const start = Buffer.byteLength(line)
    for (let at = 0; at < bytes.length; ) {
      // Synchronous: a process that is killed before this write loses the answer, and an async write takes longer.
      at += writeSync(file.fd, bytes, at, bytes.length - at, start + at)
    }
    // Frees disk space, which the token file may need.
    await file.truncate(start + bytes.length)
    await file.sync()
  } catch {
    // While this process is alive, an entry without an outcome would block every further attempt.
    if (outcome === UNKNOWN) await removeIfThere(path).catch(() => {})
  } finally {
    await file.close().catch(() => {})
  }
}
