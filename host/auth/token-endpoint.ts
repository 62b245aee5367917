import type { ErrorCode } from '../../shared/errors.ts'
import { ask, type Question } from '../net/ask.ts'
import { USER_AGENT } from './client-identity.ts'

/** What the issuer answered, as it came. It holds tokens: judge it, never print it. */
export interface RawReply {
  status: number
  body: string
  /** When to ask again, as the issuer put it (RFC 9110, 10.2.3). */
  retryAfter?: string | undefined
}

export interface TokenReply extends RawReply {
  /** The body, when it was JSON. Parsed when asked for: an answer is saved before it is looked at. */
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
 * Sends one request to the issuer, once: what was sent may be good for one use, and whether it
 * arrived is not known after a failure.
 * @throws NoAnswerError with `post.code` when no whole answer came.
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

/** Asks as `ask` does. @throws NoAnswerError with `question.code` when no whole answer came. */
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

/** A page of the issuer; an issuer with a path of its own keeps it. */
export function issuerUrl(issuer: URL, path: string): URL {
  return new URL(issuer.pathname.replace(/\/$/, '') + path, issuer)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // An HTML page of a proxy, or nothing. The parser's message quotes the text, so it goes nowhere.
    return undefined
  }
}
