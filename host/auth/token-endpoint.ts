import { CodexboxError, type ErrorCode, systemCodeOf } from '../../shared/errors.ts'
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
export async function postToken(post: TokenPost): Promise<TokenReply> {
  const url = issuerUrl(post.issuer, post.path ?? '/oauth/token')
  const { body, contentType, headers } = post
  const response = await sendOnce(
    url.href,
    {
      method: 'POST',
      headers: {
        'content-type': contentType,
        accept: 'application/json',
        'user-agent': USER_AGENT,
        ...headers,
      },
      body,
    },
    post,
  )
  return readReply(response)
}

/**
 * One request, its answer read to the end within the time limit. No redirect is followed; it would
 * carry the secret along.
 * @throws NoAnswerError with `about.code` when no whole answer came.
 */
export async function sendOnce(
  url: string,
  init: Pick<RequestInit, 'method' | 'headers' | 'body'>,
  about: Pick<TokenPost, 'code' | 'signal' | 'timeoutMs'>,
): Promise<Response> {
  try {
    return await withDeadline(about.timeoutMs ?? TIMEOUT_MS, about.signal, async (signal) => {
      const { status, headers, body } = await fetch(url, { ...init, redirect: 'manual', signal })
      // A response without a body may not even be given an empty one (204, 304).
      return new Response((await readCapped(body)) || null, { status, headers })
    })
  } catch (error) {
    throw new NoAnswerError(about.code, new URL(url).origin, error)
  }
}

export async function readReply(response: Response): Promise<TokenReply> {
  return tokenReply({
    status: response.status,
    body: await response.text(),
    retryAfter: response.headers.get('retry-after') ?? undefined,
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

/** No whole answer came. */
export class NoAnswerError extends CodexboxError {
  /** Whether the request may have arrived all the same. */
  readonly mayHaveArrived: boolean

  /** `error` does not become the cause: an error of the HTTP parser carries the bytes it read. */
  constructor(code: ErrorCode, origin: string, error: unknown) {
    super(
      code,
      `Asked ${origin}: ${reasonOf(error)}. Check the network and try again.${proxyHint()}`,
    )
    this.mayHaveArrived = !isBeforeSending(error)
  }
}

/** A page of the issuer; an issuer with a path of its own keeps it. */
export function issuerUrl(issuer: URL, path: string): URL {
  return new URL(issuer.pathname.replace(/\/$/, '') + path, issuer)
}

/** Another process may be waiting at our lock for this answer. */
const TIMEOUT_MS = 30_000
const MAX_BODY_BYTES = 1024 * 1024

async function readCapped(body: Response['body']): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body ?? []) {
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

/** `fetch` says only "fetch failed"; the reason is one level down. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'failed'
  return systemCodeOf(error.cause) ?? error.message
}

/** No connection came about. An error that says nothing of that may have come after the request. */
function isBeforeSending(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined
  // One for each address of the name.
  const parts = cause instanceof AggregateError ? cause.errors : [cause]
  return parts.every(
    (part) =>
      part instanceof Error &&
      (systemCodeOf(part) === 'UND_ERR_CONNECT_TIMEOUT' ||
        ('syscall' in part && /^(connect|getaddrinfo)$/.test(String(part.syscall)))),
  )
}

/** Node uses a proxy only when it is told to, which nobody who set one expects. */
function proxyHint(): string {
  const { HTTPS_PROXY, https_proxy, NODE_USE_ENV_PROXY } = process.env
  if (!(HTTPS_PROXY || https_proxy) || NODE_USE_ENV_PROXY) return ''
  return ' HTTPS_PROXY is set: Node 24 and later go through it with NODE_USE_ENV_PROXY=1.'
}
