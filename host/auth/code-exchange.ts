import { z } from 'zod'
import { CodexboxError } from '../../shared/errors.ts'
import { CLIENT_ID } from './client-identity.ts'
import { postToken, type TokenReply } from './token-endpoint.ts'
import { type Tokens, tokensFrom } from './tokens.ts'

export interface PostCodeOptions {
  issuer: URL
  code: string
  /** The same as in the authorize request (RFC 6749, 4.1.3). */
  redirectUri: string
  verifier: string
  signal?: AbortSignal | undefined
}

/**
 * Turns the code of a sign-in into tokens. Only sends, and only once: a code is good for one use.
 * @throws CodexboxError `sign-in-failed` when no answer came.
 */
export function postCode(options: PostCodeOptions): Promise<TokenReply> {
  const body = new URLSearchParams([
    ['grant_type', 'authorization_code'],
    ['client_id', CLIENT_ID],
    ['code', options.code],
    ['redirect_uri', options.redirectUri],
    ['code_verifier', options.verifier],
  ])
  return postToken({
    issuer: options.issuer,
    contentType: 'application/x-www-form-urlencoded',
    body: body.toString(),
    code: 'sign-in-failed',
    signal: options.signal,
  })
}

/**
 * Judges the answer: a sign-in without all three tokens is none.
 * @throws CodexboxError `sign-in-failed`, without a word of the answer's body.
 */
export function readCodeResponse(reply: TokenReply, now: number): Tokens {
  const answer = CodeAnswer.safeParse(reply.json).data
  if (reply.status === 200 && answer) return tokensFrom(answer, now)
  const what =
    reply.status === 200 ? 'an answer without tokens came back' : `status ${reply.status} came back`
  throw new CodexboxError(
    'sign-in-failed',
    `Asked for tokens with the code of the sign-in; ${what}. Sign in once more; the code was good ` +
      'for one use.',
  )
}

const CodeAnswer = z.object({
  access_token: z.string().min(1),
  refresh_token: z.string().min(1),
  id_token: z.string().min(1),
  expires_in: z.number().optional(),
})
