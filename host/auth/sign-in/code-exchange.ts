import { authorizationCodeGrantRequest, customFetch, None } from 'oauth4webapi'
import { z } from 'zod'
import { CodexboxError } from '../../../shared/errors.ts'
import { NoAnswerError } from '../../net/no-answer-error.ts'
import { USER_AGENT } from '../client-identity.ts'
import { oauthClient, oauthServer, oauthTransport } from '../oauth-server.ts'
import { type Sleep, sleepFor } from '../sleep.ts'
import { askForReply, type RawReply, type TokenReply, tokenReply } from '../token-endpoint.ts'
import { type Tokens, tokensFrom } from '../tokens.ts'

export interface CodeExchange {
  issuer: URL
  /** Validated parameters with the code. */
  params: URLSearchParams
  /** The same as in the authorize request (RFC 6749, 4.1.3). */
  redirectUri: string
  verifier: string
  signal?: AbortSignal | undefined
  timeoutMs?: number | undefined
  /** The waits before further attempts, when the service could not be reached at all. */
  retryAfterMs?: readonly number[] | undefined
  pause?: Sleep | undefined
}

/**
 * Exchanges the code of a sign-in for tokens. A code is good for one use, so it is sent again only when
 * it certainly never arrived.
 * @throws CodexboxError `sign-in-failed`, without any text of the answer's body.
 */
export async function exchangeCode(exchange: CodeExchange, now: () => number): Promise<Tokens> {
  const { retryAfterMs = RETRY_AFTER_MS, pause = sleepFor } = exchange
  for (const waitMs of retryAfterMs) {
    try {
      return readCodeResponse(await postCode(exchange), now())
    } catch (error) {
      const isLost = !(error instanceof NoAnswerError) || error.mayHaveArrived
      if (isLost || exchange.signal?.aborted) throw error
      await pause(waitMs, exchange.signal)
    }
  }
  return readCodeResponse(await postCode(exchange), now())
}

const RETRY_AFTER_MS = [1000, 2000, 4000]

/**
 * The library builds the request, our own transport sends it: with our time limit, a bounded body and
 * errors that quote no secret.
 */
async function postCode(exchange: CodeExchange): Promise<TokenReply> {
  const { issuer, params, redirectUri, verifier, signal, timeoutMs } = exchange
  const response = await authorizationCodeGrantRequest(
    oauthServer(issuer),
    oauthClient,
    None(),
    params,
    redirectUri,
    verifier,
    {
      ...oauthTransport(issuer),
      headers: { 'user-agent': USER_AGENT },
      [customFetch]: async (url, { method, headers, body }) => {
        const sent = { method, headers, body: String(body), signal, timeoutMs }
        return Response.json(await askForReply(new URL(url), { ...sent, code: 'sign-in-failed' }))
      },
    },
  )
  // The JSON from `customFetch` above.
  return tokenReply((await response.json()) as RawReply)
}

/**
 * Judges the answer: a sign-in needs all three tokens. Not by the library, which would reject a sign-in
 * for a claim of the id token that we do not use.
 */
function readCodeResponse(reply: TokenReply, now: number): Tokens {
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
