import { CodexboxError } from '../../shared/errors.ts'
import { setupCommand } from '../package-root.ts'
import { deadError, postRefresh, readTokenResponse } from './refresh.ts'
import type { TokenStore } from './token-store.ts'
import { isFresh, type Tokens } from './tokens.ts'

export interface AccessTokenOptions {
  store: TokenStore
  issuer: URL
  now?: () => number
  timeoutMs?: number | undefined
}

/**
 * Tokens whose access token can be used now. `rejected` is an access token that the service has
 * just refused: it is not returned again.
 * @throws CodexboxError `not-signed-in`, `refresh-failed`, `tokens-invalid`.
 */
export type UsableTokens = (rejected?: string) => Promise<Tokens>

/**
 * Renews the access token when it is due, once however many callers ask: those of this process
 * share one renewal, those of others wait at the store's lock and find it done. The refresh token
 * works only once, and its second use ends the whole sign-in.
 */
export function usableTokens(options: AccessTokenOptions): UsableTokens {
  const { store, issuer, now = Date.now, timeoutMs } = options
  let renewal: Promise<Tokens> | undefined
  let rest: Rest | undefined

  const isDue = (tokens: Tokens, rejected: string | undefined) => {
    if (tokens.access_token === rejected) return true
    const resting = rest?.accessToken === tokens.access_token && now() < rest.until
    return !isFresh(tokens, now()) && !resting
  }

  const renewUnderLock = (rejected: string | undefined) =>
    store.update(async (current) => {
      if (!current) throw notSignedIn()
      // Another process may have renewed while we waited for the lock.
      if (current.dead || !isDue(current, rejected)) return current

      const wasRejected = current.access_token === rejected
      const reply = await postRefresh({
        issuer,
        refreshToken: current.refresh_token,
        reason: wasRejected ? 'unauthorized_recovery' : 'proactive_expiry',
        timeoutMs,
      })
      const outcome = readTokenResponse(reply, current, now())
      if (outcome.status === 'failed') throw refreshFailed(outcome.why)
      if (outcome.status === 'renewed') {
        // By a wrong clock even a new token looks old; the service decides, not the clock.
        rest = { accessToken: outcome.tokens.access_token, until: now() + REST_AFTER_SUCCESS_MS }
        return outcome.tokens
      }
      // An access token that was refused has ended, whatever its own word.
      const expires_at = wasRejected ? Math.min(current.expires_at, now()) : current.expires_at
      return { ...current, dead: outcome.reason, expires_at }
    })

  const renew = async (known: Tokens, rejected: string | undefined) => {
    try {
      return await renewUnderLock(rejected)
    } catch (error) {
      const isForNow = error instanceof CodexboxError && error.code === 'refresh-failed'
      if (!isForNow || !isUsable(known, rejected, now())) throw error
      rest = { accessToken: known.access_token, until: now() + REST_AFTER_FAILURE_MS }
      return known
    }
  }

  return async (rejected) => {
    let tokens = await store.read()
    if (!tokens) throw notSignedIn()
    while (!tokens.dead && isDue(tokens, rejected)) {
      const joined = renewal
      renewal ??= renew(tokens, rejected).finally(() => {
        renewal = undefined
      })
      tokens = await renewal
      // A renewal that somebody else began did not know which token was refused here.
      if (!joined) break
    }
    if (tokens.dead && !isUsable(tokens, rejected, now())) throw deadError(tokens.dead)
    return tokens
  }
}

/** No renewal of this access token is tried before `until`, unless the service refuses it. */
interface Rest {
  accessToken: string
  until: number
}
const REST_AFTER_SUCCESS_MS = 60_000
const REST_AFTER_FAILURE_MS = 30_000

/** A refresh token may be dead or the issuer away: what is still valid is used to its end. */
function isUsable(tokens: Tokens, rejected: string | undefined, now: number): boolean {
  return tokens.access_token !== rejected && tokens.expires_at > now
}

/** Nobody has signed in yet. */
export function notSignedIn(): CodexboxError {
  return new CodexboxError(
    'not-signed-in',
    `Not signed in to ChatGPT. Sign in: \`${setupCommand('codex-auth')}\`.`,
  )
}

function refreshFailed(why: string): CodexboxError {
  return new CodexboxError(
    'refresh-failed',
    `Could not renew the sign-in: ${why}. It is kept; try again in a moment.`,
  )
}
