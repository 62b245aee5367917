import { CodexboxError } from '../../../shared/errors.ts'
import { notSignedIn } from '../not-signed-in.ts'
import type { TokenStore } from '../token-store.ts'
import { isFresh, isNew, isWithin, type Tokens } from '../tokens.ts'
import { deadError } from './refresh.ts'
import type { Renew } from './renew.ts'

export interface AccessTokenOptions {
  store: TokenStore
  renew: Renew
  now?: (() => number) | undefined
}

/**
 * Tokens whose access token can be used now. `rejected` is an access token that the service has
 * just refused: it is not returned again.
 * @throws CodexboxError `not-signed-in`, `refresh-failed`, `tokens-invalid`; `model-refused` when the
 * service refuses a token it has just given out.
 */
export type UsableTokens = (rejected?: string) => Promise<Tokens>

/**
 * Renews the access token when it is due, once for any number of callers: callers in this process share
 * one renewal, other processes wait for the store's lock and find the new tokens. The refresh token
 * works only once, and its second use ends the whole sign-in.
 */
export function usableTokens(options: AccessTokenOptions): UsableTokens {
  const { store, renew, now = Date.now } = options
  let renewal: Promise<Tokens> | undefined
  let failure: Failure | undefined
  let forced: Forced | undefined

  const isDue = (tokens: Tokens, rejected: string | undefined) =>
    tokens.access_token === rejected || !(isFresh(tokens, now()) || isNew(tokens, now()))

  const stored = async () => {
    const tokens = await store.read()
    if (!tokens) throw notSignedIn(store.setAside())
    return tokens
  }

  /** Falls back to a token that is still valid when the renewal fails, and limits further attempts. */
  const renewOrFallBack = async (known: Tokens, rejected: string | undefined) => {
    const { access_token: accessToken } = known
    const wasRejected = accessToken === rejected
    const canWait = isUsable(known, rejected, now())
    const last = failure?.accessToken === accessToken ? failure : undefined
    if (last && canWait && isWithin(RETRY_MS, last.at, now())) return known
    if (last && !canWait && !last.couldWait && isWithin(SHORT_RETRY_MS, last.at, now())) {
      throw last.error
    }
    try {
      await renew({ accessToken, wasRejected })
    } catch (error) {
      if (!(error instanceof CodexboxError) || error.code !== 'refresh-failed') throw error
      failure = { accessToken, at: now(), error, couldWait: canWait }
      if (canWait) return known
      throw error
    }
    const renewed = await stored()
    const isOther = renewed.access_token !== accessToken
    if (wasRejected && isOther) forced = { accessToken: renewed.access_token, at: now() }
    return renewed
  }

  return async (rejected) => {
    let tokens = await stored()
    if (tokens.access_token === forced?.accessToken && tokens.access_token === rejected) {
      if (isWithin(RETRY_MS, forced.at, now())) throw refusedThoughNew()
    }
    while (!tokens.dead && isDue(tokens, rejected)) {
      const joined = renewal
      renewal ??= renewOrFallBack(tokens, rejected).finally(() => {
        renewal = undefined
      })
      tokens = await renewal
      // A renewal that another caller began did not know which token was refused here.
      if (!joined) break
    }
    if (tokens.dead && !isUsable(tokens, rejected, now())) throw deadError(tokens.dead, tokens)
    return tokens
  }
}

/** A transient failure to renew this access token. */
interface Failure {
  accessToken: string
  at: number
  error: CodexboxError
  /** Whether there was still a valid token; if the service then refuses it, a caller may try again at once. */
  couldWait: boolean
}
/** How long a failed renewal is not repeated while there is a valid token. */
const RETRY_MS = 60_000
/** The same without a valid token: short enough for a user, long enough to slow down a loop. */
const SHORT_RETRY_MS = 5_000

/** An access token that was renewed because the one before it was refused. */
interface Forced {
  accessToken: string
  at: number
}

/** A valid access token is used until it expires, even with a dead refresh token or an unreachable issuer. */
function isUsable(tokens: Tokens, rejected: string | undefined, now: number): boolean {
  return tokens.access_token !== rejected && tokens.expires_at > now
}

function refusedThoughNew(): CodexboxError {
  return new CodexboxError(
    'model-refused',
    'The service refuses an access token that it gave out a moment ago, so another one would not ' +
      'help. Try again in a minute; if that goes on, see whether the account may use Codex.',
  )
}
