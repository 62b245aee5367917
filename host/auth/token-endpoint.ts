import type { ErrorCode } from '../../shared/errors.ts'
import { ask, type Question } from '../net/ask.ts'
import { USER_AGENT } from './client-identity.ts'

/** The issuer's answer, unparsed. It holds tokens: never print it. */
export interface RawReply {
  status: number
  body: string
  /** The `Retry-After` header (RFC 9110, 10.2.3). */
  retryAfter?: string | undefined
}

export interface TokenReply extends RawReply {
  /** The body, if it is JSON. Parsed on access, because an answer is saved before it is parsed. */
  readonly json: unknown
}

export interface TokenPost {
  issuer: URL
  /** The token endpoint by default. */
  path?: string | undefined
  contentType: 'application/json' | 'application/x-www-form-urlencoded'
  headers?: Record<string, string>
  body: string
  /** The code of the error when no answer came. */
  code: ErrorCode
  signal?: AbortSignal | undefined
  timeoutMs?: number | undefined
}

/**
 * Sends one request to the issuer, without retry: a code or a refresh token may be good for one use, and
 * after a failure it is not known whether the request arrived.
 * @throws NoAnswerError with `post.code` when no complete answer came.
 */
export function postToken(post: TokenPost): Promise<TokenReply> {
  const { body, contentType, headers } = post
  return askForReply(issuerUrl(post.issuer, post.path ?? '/oauth/token'), {
    ...post,
    method: 'POST',
    headers: {
      'content-type': contentType,
      accept: 'application/json',
      'user-agent': USER_AGENT,
      ...headers,
    },
    body,
  })
}

/** Like `ask`. @throws NoAnswerError with `question.code` when no complete answer came. */
export async function askForReply(url: URL, question: Question): Promise<TokenReply> {
  const { status, headers, body } = await ask(url, question)
  return tokenReply({ status, body, retryAfter: headers['retry-after'] })
}

export function tokenReply({ status, body, retryAfter }: RawReply): TokenReply {
  return {
    status,
    body,
    retryAfter,
    get json() {
      return parseJson(body)
    },
  }
}

/** The URL of `path` at the issuer, after the issuer's own path. */
export function issuerUrl(issuer: URL, path: string): URL {
  return new URL(issuer.pathname.replace(/\/$/, '') + path, issuer)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // An HTML page of a proxy, or an empty body. The parser's message is dropped: it quotes the text.
    return undefined
  }
}
