import { z } from 'zod'
import { CodexboxError } from '../../../shared/errors.ts'
import { setupCommand } from '../../package-root.ts'
import { CLIENT_ID, ORIGINATOR } from '../client-identity.ts'
import { errorCodeOf } from '../error-code.ts'
import { codexFileOfSameAccount } from '../sign-in/codex-import.ts'
import { postToken, type TokenReply } from '../token-endpoint.ts'
import { type DeadReason, type Tokens, tokensFrom } from '../tokens.ts'

export interface PostRefreshOptions {
  issuer: URL
  refreshToken: string
  /** Sent to the service: the token expired, or was refused before its expiry. */
  reason: 'proactive_expiry' | 'unauthorized_recovery'
  timeoutMs?: number | undefined
}

/**
 * Asks for a new access token. Only sends; `readTokenResponse` judges the answer.
 * @throws CodexboxError `refresh-failed` when no answer came.
 */
export function postRefresh(options: PostRefreshOptions): Promise<TokenReply> {
  return postToken({
    issuer: options.issuer,
    contentType: 'application/json',
    headers: { originator: ORIGINATOR },
    body: JSON.stringify({
      client_id: CLIENT_ID,
      grant_type: 'refresh_token',
      refresh_reason: options.reason,
      refresh_token: options.refreshToken,
    }),
    code: 'refresh-failed',
    timeoutMs: options.timeoutMs,
  })
}

export type RefreshOutcome =
  | { status: 'renewed'; tokens: Tokens }
  /** Permanent: another request with this refresh token is pointless. */
  | { status: 'dead'; reason: DeadReason }
  /** Transient. `why` is safe to show. */
  | { status: 'failed'; why: string }

/** Judges the answer to a refresh of `previous`. Missing fields keep their previous values. */
export function readTokenResponse(
  reply: TokenReply,
  previous: Tokens,
  now: number,
): RefreshOutcome {
  if (reply.status !== 200) return readRefusal(reply)
  const answer = TokenAnswer.safeParse(reply.json).data
  if (!answer?.access_token) return { status: 'failed', why: 'the answer held no access token' }

  const fresh = tokensFrom(
    {
      access_token: answer.access_token,
      // A server may answer without rotating (RFC 6749, 6).
      refresh_token: answer.refresh_token ?? previous.refresh_token,
      id_token: answer.id_token,
      expires_in: answer.expires_in,
    },
    now,
  )
  if (previous.account_id && fresh.account_id && fresh.account_id !== previous.account_id) {
    return { status: 'failed', why: 'the answer was for another account and is not used' }
  }
  const { dead: _, ...rest } = previous
  return { status: 'renewed', tokens: { ...rest, ...fresh } }
}

/** The error for a dead refresh token, with a remedy and the program that has used it. */
export function deadError(
  reason: DeadReason,
  tokens: Pick<Tokens, 'account_id' | 'imported_from'> = {},
  env: NodeJS.Dict<string> = process.env,
): CodexboxError {
  const why = reason === 'reused' ? usedElsewhere(tokens, env) : DEAD[reason]
  return new CodexboxError(
    'not-signed-in',
    `${why} Sign in again: \`${setupCommand('codex-auth')}\`.`,
  )
}

function usedElsewhere(
  tokens: Pick<Tokens, 'account_id' | 'imported_from'>,
  env: NodeJS.Dict<string>,
): string {
  if (tokens.imported_from) {
    return (
      `The Codex CLI, whose sign-in in ${tokens.imported_from} this one was imported from, has used ` +
      'the refresh token, which works only once; an own sign-in, not imported, is shared with nobody.'
    )
  }
  const file = codexFileOfSameAccount(tokens, env)
  const who = file
    ? `most likely the Codex CLI, which has one of the same account in ${file}`
    : 'the Codex CLI or an editor extension'
  return (
    `Another program that shares the sign-in (${who}) has used its refresh token, which works only ` +
    'once; end that program or give it a sign-in of its own.'
  )
}

const DEAD: Record<Exclude<DeadReason, 'reused'>, string> = {
  expired: 'The sign-in has expired: it was not used for too long.',
  lost:
    'A renewal of the sign-in broke off before its answer was here, and the service gives an answer ' +
    'only once.',
  revoked: 'The sign-in was revoked, by a sign-out or a change of password.',
  refused: 'The service no longer accepts the sign-in.',
}

const TokenAnswer = z.object({
  access_token: z.string().min(1).optional(),
  refresh_token: z.string().min(1).optional(),
  id_token: z.string().min(1).optional(),
  expires_in: z.number().optional(),
})

const REASONS: ReadonlyMap<string, DeadReason> = new Map([
  ['refresh_token_expired', 'expired'],
  ['refresh_token_reused', 'reused'],
  ['refresh_token_invalidated', 'revoked'],
  ['invalid_grant', 'refused'],
])

function readRefusal({ status, json }: TokenReply): RefreshOutcome {
  const why = `the answer was status ${status}`
  // 429 and 5xx tell nothing about the sign-in, even if their body does.
  if (status < 400 || status === 429 || status >= 500) return { status: 'failed', why }
  const reason = REASONS.get(errorCodeOf(json)) ?? (status === 401 ? 'refused' : undefined)
  return reason ? { status: 'dead', reason } : { status: 'failed', why }
}
