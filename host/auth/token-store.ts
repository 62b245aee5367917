import { readdirSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CodexboxError, systemCodeOf } from '../../shared/errors.ts'
import { setupCommand } from '../package-root.ts'
import { type HeldLock, withFileLock } from '../storage/file-lock.ts'
import { notUsed, readPrivateFile, securePrivateFolder } from '../storage/private-file.ts'
import { removeIfThere, removeTemporaries, saveFile } from '../storage/save-file.ts'
import { forgetRenewals, renewalJournal, type Spend } from './renewal/journal.ts'
import { Tokens } from './tokens.ts'

/**
 * The store of the sign-in. Every method throws CodexboxError `tokens-invalid` for a file that exists
 * but cannot be trusted or read. Methods that may write set a damaged file aside; a damaged file is
 * never deleted for that reason. A file that is not ours stays unchanged.
 */
export interface TokenStore {
  /** Reads without lock, repair or wait. */
  peek(): Tokens | undefined
  /** The last damaged file that was set aside. Read-only, too. */
  setAside(): string | undefined
  /** Reads, and takes the lock only to set a damaged file aside. */
  read(): Promise<Tokens | undefined>
  /**
   * Read, change, write under the lock. `change` gets the stored tokens and returns the new ones; if it
   * returns the same object, nothing is written. If it throws, nothing is changed. A refresh token is
   * sent by `spend` only, which saves the answer before it is used.
   * Throws `refresh-failed` when the lock or the disk is not available.
   */
  update(change: (current: Tokens | undefined, spend: Spend) => Promise<Tokens>): Promise<Tokens>
  /** Throws now the error that `replace` would throw later, so that no sign-in is wasted. */
  prepare(): Promise<void>
  /** Stores a new sign-in and replaces the old one. Returns the new path of a damaged file. */
  replace(tokens: Tokens): Promise<string | undefined>
  /** Removes the sign-in: a renewal that is still running restores nothing. Removes damaged files as well. */
  remove(): Promise<void>
}

export interface TokenStoreOptions {
  /** See `FileLockOptions`. */
  lockTimeoutMs?: number | undefined
  staleMs?: number | undefined
}

/** The store in `codex-tokens.json` of the data folder: the folder 0700, the file 0600. */
export function fileTokenStore(dataDir: string, options: TokenStoreOptions = {}): TokenStore {
  const path = join(dataDir, 'codex-tokens.json')
  const { lockTimeoutMs: timeoutMs = LOCK_TIMEOUT_MS, staleMs } = options

  const locked = async <T>(code: SaveFailure, work: (lock: HeldLock) => Promise<T>) => {
    securePrivateFolder(dataDir)
    const safely = async (lock: HeldLock) => {
      await orFail(code, path, removeTemporaries(path))
      return work(lock)
    }
    return withFileLock(`${path}.lock`, safely, { timeoutMs, code, staleMs })
  }

  const save = (code: SaveFailure, tokens: Tokens, lock: HeldLock) =>
    orFail(code, path, saveFile(path, `${JSON.stringify(tokens, null, 2)}\n`, lock))

  const setAside = async (code: SaveFailure) => {
    const aside = `${path}${ASIDE}${Date.now()}`
    await orFail(code, path, rename(path, aside))
    return aside
  }

  /** Under the lock: a damaged file may have been replaced before the lock was taken. */
  const soundTokens = async () => {
    const loaded = load(path, { repair: true })
    if (loaded.status !== 'damaged') return tokensOf(loaded, path)
    throw wasDamaged(path, loaded.why, await setAside('refresh-failed'))
  }

  return {
    peek: () => tokensOf(load(path, { repair: false }), path),
    setAside: () => damagedFiles(path).at(-1),
    read: async () => {
      const loaded = load(path, { repair: true })
      return loaded.status === 'damaged'
        ? locked('refresh-failed', soundTokens)
        : tokensOf(loaded, path)
    },
    update: (change) =>
      locked('refresh-failed', async (lock) => {
        const current = await soundTokens()
        const journal = renewalJournal(path, lock)
        const changed = await change(current, journal.spend).catch(async (error: unknown) => {
          await journal.clear()
          throw error
        })
        // If this fails, the journal keeps the answer for the next renewal.
        if (changed !== current) await save('refresh-failed', changed, lock)
        await journal.clear()
        return changed
      }),
    // The lock file has content: if it can be made, there is access and room.
    prepare: () =>
      locked('sign-in-failed', async () => {
        load(path, { repair: true })
      }),
    replace: (tokens) =>
      locked('sign-in-failed', async (lock) => {
        const isDamaged = load(path, { repair: true }).status === 'damaged'
        const aside = isDamaged ? await setAside('sign-in-failed') : undefined
        await save('sign-in-failed', tokens, lock)
        // Entries that stay are about other tokens, and the next renewal removes them.
        await forgetRenewals(path).catch(() => {})
        return aside
      }),
    remove: () =>
      locked('sign-in-failed', async () => {
        load(path, { repair: false })
        for (const each of [path, ...damagedFiles(path)]) {
          await orFail('sign-in-failed', each, removeIfThere(each))
        }
        await orFail('sign-in-failed', path, forgetRenewals(path))
      }),
  }
}

/**
 * Longer than a renewal of another process may take, with room for a second one, and longer than a
 * holder without a heartbeat keeps the lock.
 */
const LOCK_TIMEOUT_MS = 75_000

type SaveFailure = 'refresh-failed' | 'sign-in-failed'

async function orFail<T>(code: SaveFailure, path: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (error instanceof CodexboxError) throw error
    throw new CodexboxError(
      code,
      `Could not save the sign-in to ${path} (${systemCodeOf(error)}). Make room or give write ` +
        'access, then try again.',
      { cause: error },
    )
  }
}

type Loaded =
  | { status: 'none' }
  | { status: 'tokens'; tokens: Tokens }
  | { status: 'damaged'; why: string }

function tokensOf(loaded: Loaded, path: string): Tokens | undefined {
  if (loaded.status === 'none') return undefined
  if (loaded.status === 'tokens') return loaded.tokens
  throw new CodexboxError('tokens-invalid', `${path} is damaged: ${loaded.why}. ${REMEDY}`)
}

const REMEDY = `Sign in again: \`${setupCommand('codex-auth')}\`; or put back a good copy.`

function wasDamaged(path: string, why: string, aside: string): CodexboxError {
  return new CodexboxError(
    'tokens-invalid',
    `${path} was damaged (${why}) and is now ${aside}. ${REMEDY}`,
  )
}

/** Between the name of the token file and the time, in the name of a damaged file. */
const ASIDE = '.damaged-'

/** Oldest first. */
function damagedFiles(path: string): string[] {
  try {
    const start = `${basename(path)}${ASIDE}`
    const names = readdirSync(dirname(path)).filter((name) => name.startsWith(start))
    return names.sort().map((name) => join(dirname(path), name))
  } catch {
    // The folder is missing or unreadable, so we have set nothing aside.
    return []
  }
}

/** `why` names the wrong fields, never their values. */
function load(path: string, options: { repair: boolean }): Loaded {
  const file = readPrivateFile(path, options)
  if (file.status === 'strange') throw notUsed(path, file.why)
  if (file.status !== 'read') return file
  let json: unknown
  try {
    json = JSON.parse(file.text)
  } catch {
    // The parser's message is dropped: it quotes the text, which holds tokens.
    return { status: 'damaged', why: file.text.trim() === '' ? 'it is empty' : 'it is not JSON' }
  }
  const parsed = Tokens.safeParse(json)
  if (parsed.success) return { status: 'tokens', tokens: parsed.data }
  const fields = new Set(parsed.error.issues.map((issue) => String(issue.path[0] ?? 'the whole')))
  return { status: 'damaged', why: `missing or wrong: ${[...fields].join(', ')}` }
}
