import type { ErrorCode } from '../../shared/errors.ts'
import { NoAnswerError } from '../net/no-answer-error.ts'
import { type OutgoingRequest, send } from '../net/send.ts'
import { USER_AGENT } from './client-identity.ts'
import { withDeadline } from './with-deadline.ts'

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
  return ask(issuerUrl(post.issuer, post.path ?? '/oauth/token'), {
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

export interface Question
  extends Pick<OutgoingRequest, 'method' | 'headers' | 'body' | 'code'>,
    Pick<TokenPost, 'signal' | 'timeoutMs'> {
  /** See `OutgoingRequest`; not by default. */
  keepsAlive?: boolean | undefined
}

/**
 * One request, its answer read to the end within the time limit.
 * @throws NoAnswerError with `question.code` when no whole answer came.
 */
export function ask(url: URL, question: Question): Promise<TokenReply> {
  const { timeoutMs = TIMEOUT_MS, keepsAlive = false, code } = question
  return withDeadline(timeoutMs, question.signal, async (signal) => {
    const answer = await send(url, { ...question, keepsAlive, signal })
    try {
      const { status, headers } = answer
      const body = await readCapped(answer.body)
      return tokenReply({ status, body, retryAfter: headers['retry-after'] })
    } catch (error) {
      throw new NoAnswerError(code, { url, signal, error })
    }
  })
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

/** Another process may be waiting at our lock for this answer. */
const TIMEOUT_MS = 30_000
const MAX_BODY_BYTES = 1024 * 1024

async function readCapped(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.byteLength
    if (bytes > MAX_BODY_BYTES) throw new Error('the answer is larger than 1 MB')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // An HTML page of a proxy, or nothing. The parser's message quotes the text, so it goes nowhere.
    return undefined
  }
}
