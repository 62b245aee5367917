import { CodexboxError } from '../../../shared/errors.ts'
import { retryAfterMs } from '../../../shared/retry-after.ts'
import { notSignedIn } from '../not-signed-in.ts'
import type { TokenStore } from '../token-store.ts'
import type { DeadReason } from '../tokens.ts'
import { postRefresh, readTokenResponse } from './refresh.ts'
import { RetryAfterError } from './retry-after-error.ts'

/**
 * Renews the stored tokens, unless the store has another access token by now. The outcome is in the
 * store, including a dead sign-in.
 * @throws CodexboxError `not-signed-in`, `refresh-failed`, `tokens-invalid`.
 */
export type Renew = (due: DueToken) => Promise<void>

/** The access token that has to be replaced. */
export interface DueToken {
  accessToken: string
  /** The service has refused it before its expiry. */
  wasRejected: boolean
}

export interface RenewalOptions {
  store: TokenStore
  issuer: URL
  now?: (() => number) | undefined
  timeoutMs?: number | undefined
}

/**
 * The renewal itself. A process that is killed after the service has answered, and before the answer
 * is on the disk, loses the sign-in; so it runs in a process of its own (`renewInProcess`).
 */
export function renewUnderLock(options: RenewalOptions): Renew {
  const { store, issuer, now = Date.now, timeoutMs } = options

  return async ({ accessToken, wasRejected }) => {
    await store.update(async (current, spend) => {
      if (!current) throw notSignedIn()
      // Another process may have renewed while we waited for the lock.
      if (current.dead || current.access_token !== accessToken) return current

      const { reply, isRepeat } = await spend(current, () =>
        postRefresh({
          issuer,
          refreshToken: current.refresh_token,
          reason: wasRejected ? 'unauthorized_recovery' : 'proactive_expiry',
          timeoutMs,
        }),
      )
      const outcome = readTokenResponse(reply, current, now())
      if (outcome.status === 'failed') {
        throw refreshFailed(outcome.why, retryAfterMs(reply.retryAfter, now()))
      }
      if (outcome.status === 'renewed') return outcome.tokens
      const dead = isRepeat && ENDS_OF_A_REPEAT.has(outcome.reason) ? 'lost' : outcome.reason
      // A refused access token counts as expired, even if its `exp` is later.
      const expires_at = wasRejected ? Math.min(current.expires_at, now()) : current.expires_at
      return { ...current, dead, expires_at }
    })
  }
}

/** The first use was most likely ours; a third attempt finds the sign-in revoked because of the second. */
const ENDS_OF_A_REPEAT: ReadonlySet<DeadReason> = new Set(['reused', 'revoked'])

function refreshFailed(why: string, pauseMs: number | undefined): CodexboxError {
  const problem = `Could not renew the sign-in: ${why}. It is kept;`
  if (!pauseMs) return new CodexboxError('refresh-failed', `${problem} try again in a moment.`)
  const seconds = Math.ceil(pauseMs / 1000)
  return new RetryAfterError(`${problem} the service asks for a pause of ${seconds} s.`, pauseMs)
}
