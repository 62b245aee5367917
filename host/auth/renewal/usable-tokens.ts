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
 * Renews the access token when it is due, once however many callers ask: those of this process
 * share one renewal, those of others wait at the store's lock and find it done. The refresh token
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

  /** What is still valid is used when it cannot be renewed, and not every caller tries again. */
  const renewOrKeep = async (known: Tokens, rejected: string | undefined) => {
    const { access_token: accessToken } = known
    const wasRejected = accessToken === rejected
    const canWait = isUsable(known, rejected, now())
    const last = failure?.accessToken === accessToken ? failure : undefined
    if (last && canWait && isWithin(REST_MS, last.at, now())) return known
    if (last && !canWait && !last.couldWait && isWithin(SHORT_REST_MS, last.at, now())) {
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
      if (isWithin(REST_MS, forced.at, now())) throw refusedThoughNew()
    }
    while (!tokens.dead && isDue(tokens, rejected)) {
      const joined = renewal
      renewal ??= renewOrKeep(tokens, rejected).finally(() => {
        renewal = undefined
      })
      tokens = await renewal
      // A renewal that somebody else began did not know which token was refused here.
      if (!joined) break
    }
    if (tokens.dead && !isUsable(tokens, rejected, now())) throw deadError(tokens.dead, tokens)
    return tokens
  }
}

/** A renewal of this access token that has failed for now. */
interface Failure {
  accessToken: string
  at: number
  error: CodexboxError
  /** Whether there was still a token to use; who then finds it refused may try again at once. */
  couldWait: boolean
}
/** How long a renewal that has failed is not tried again, as long as there is a token to use. */
const REST_MS = 60_000
/** The same without one: a person who tries again need not wait, a loop has to. */
const SHORT_REST_MS = 5_000

/** An access token that was renewed because the one before it was refused. */
interface Forced {
  accessToken: string
  at: number
}

/** A refresh token may be dead or the issuer away: what is still valid is used to its end. */
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
