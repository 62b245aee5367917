import { CodexboxError, type ErrorCode, systemCodeOf } from '../../shared/errors.ts'
import { USER_AGENT } from './client-identity.ts'
import { withDeadline } from './with-deadline.ts'

/** What the token endpoint answered. It holds tokens: judge it, never print it. */
export interface TokenReply {
  status: number
  /** The body, when it was JSON. */
  json: unknown
}

export interface TokenPost {
  issuer: URL
  contentType: 'application/json' | 'application/x-www-form-urlencoded'
  headers?: Record<string, string>
  body: string
  /** The code of the error when no answer came. */
  code: ErrorCode
  signal?: AbortSignal | undefined
  timeoutMs?: number | undefined
}

/**
 * Sends one request to the token endpoint, once: what was sent is good for one use, and whether it
 * arrived is not known after a failure. No redirect is followed; it would carry the secret along.
 * @throws CodexboxError with `post.code` when no whole answer came.
 */
export async function postToken(post: TokenPost): Promise<TokenReply> {
  const url = issuerUrl(post.issuer, '/oauth/token')
  try {
    return await withDeadline(post.timeoutMs ?? TIMEOUT_MS, post.signal, async (signal) => {
      const response = await fetch(url, {
        method: 'POST',
        headers: {
          'content-type': post.contentType,
          accept: 'application/json',
          'user-agent': USER_AGENT,
          ...post.headers,
        },
        body: post.body,
        redirect: 'manual',
        signal,
      })
      return { status: response.status, json: parseJson(await readCapped(response)) }
    })
  } catch (error) {
    // Without the cause: an error of the HTTP parser carries the bytes it read.
    throw new CodexboxError(
      post.code,
      `Asked ${url.origin} for tokens: ${reasonOf(error)}. Check the network and try again.`,
    )
  }
}

/** A page of the issuer; an issuer with a path of its own keeps it. */
export function issuerUrl(issuer: URL, path: string): URL {
  return new URL(issuer.pathname.replace(/\/$/, '') + path, issuer)
}

/** Another process may be waiting at our lock for this answer. */
const TIMEOUT_MS = 30_000
const MAX_BODY_BYTES = 1024 * 1024

async function readCapped(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
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
