import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { CodexboxError, systemCodeOf } from '../../../shared/errors.ts'
import { homeFolder } from '../../home-folder.ts'
import { setupCommand } from '../../package-root.ts'
import { type Tokens, tokensFrom } from '../tokens.ts'

/** The sign-in file of the official client. */
export function codexAuthFile(env: NodeJS.Dict<string>): string {
  return join(env.CODEX_HOME || join(homeFolder() ?? '/', '.codex'), 'auth.json')
}

/** The warning about a shared sign-in. */
export const SHARED_SIGN_IN =
  'With an imported sign-in, Codex and codexbox share one refresh token, and it works only once: ' +
  'whoever renews second is signed out. Signing out here signs Codex out as well.'

/**
 * The sign-in of the official client, in our format. The file is only read.
 * @throws CodexboxError `sign-in-failed`, without any content of the file.
 */
export function readCodexSignIn(path: string, now: number): Tokens {
  const file = AuthFile.safeParse(parse(path, readText(path))).data
  if (!file) throw failed(path, 'it does not look like a file of Codex')
  const { tokens, auth_mode, OPENAI_API_KEY } = file
  if (auth_mode === 'apikey' || (!tokens && OPENAI_API_KEY)) {
    throw failed(
      path,
      'it holds an API key and no ChatGPT sign-in (a key is used with AGENT_PROVIDER=openai)',
    )
  }
  if (auth_mode && auth_mode !== 'chatgpt') {
    throw failed(path, 'it holds another kind of sign-in than that of ChatGPT')
  }
  const { access_token, refresh_token, id_token, account_id } = tokens ?? {}
  if (!access_token || !refresh_token) {
    const missing = access_token ? 'refresh token' : 'access token'
    throw failed(path, `it holds no ${missing}`)
  }
  const renewedAt = Date.parse(file.last_refresh ?? '')
  const imported = tokensFrom(
    { access_token, refresh_token, id_token },
    Number.isFinite(renewedAt) ? Math.min(Math.max(renewedAt, 0), now) : now,
  )
  if (account_id && imported.account_id && account_id !== imported.account_id) {
    throw failed(path, 'its parts belong to different accounts')
  }
  return { ...imported, ...(account_id ? { account_id } : {}), imported_from: path }
}

/** The file of Codex, if it is readable and holds a sign-in of the same account. */
export function codexFileOfSameAccount(
  { account_id }: Pick<Tokens, 'account_id'>,
  env: NodeJS.Dict<string>,
): string | undefined {
  const path = codexAuthFile(env)
  try {
    const isSame = account_id && readCodexSignIn(path, 0).account_id === account_id
    return isSame ? path : undefined
  } catch {
    // The file is missing or unreadable.
    return undefined
  }
}

const text = z.string().optional().catch(undefined)

const AuthFile = z.object({
  auth_mode: text,
  OPENAI_API_KEY: z.string().nullish().catch(undefined),
  tokens: z
    .object({
      access_token: text,
      refresh_token: text,
      // Some versions store the claims instead of the token.
      id_token: text,
      account_id: z
        .string()
        .regex(/^[\x21-\x7e]{1,256}$/)
        .optional()
        .catch(undefined),
    })
    .nullish(),
  last_refresh: text,
})

const MAX_FILE_BYTES = 1024 * 1024

function readText(path: string): string {
  try {
    const stats = statSync(path)
    // The read of a FIFO would block for ever.
    if (!stats.isFile()) throw failed(path, 'it is not a regular file')
    if (stats.size > MAX_FILE_BYTES) throw failed(path, 'it is larger than 1 MB')
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof CodexboxError) throw error
    const code = systemCodeOf(error)
    if (code !== 'ENOENT') throw failed(path, `it cannot be read (${code})`)
    throw failed(path, 'there is no such file (Codex may keep its sign-in in the keyring)')
  }
}

function parse(path: string, content: string): unknown {
  try {
    return JSON.parse(content)
  } catch {
    // The parser's message is dropped: it quotes the text, which holds tokens.
    throw failed(path, 'it is not JSON')
  }
}

function failed(path: string, why: string): CodexboxError {
  return new CodexboxError(
    'sign-in-failed',
    `Could not import the sign-in of Codex from ${path}: ${why}. An own sign-in works without it: ` +
      `\`${setupCommand('codex-auth')}\`.`,
  )
}
