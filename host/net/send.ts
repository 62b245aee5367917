import http from 'node:http'
import https from 'node:https'
import type { Readable } from 'node:stream'
import { decodeBody } from '../../shared/decode-body.ts'
import { type ErrorCode, HUNG_UP } from '../../shared/errors.ts'
import { NoAnswerError } from './no-answer-error.ts'
import { CHECKED, proxyFor, tunnelsThrough } from './proxy.ts'

export interface OutgoingRequest {
  method: 'GET' | 'POST'
  headers: Record<string, string>
  body?: string | Buffer | undefined
  signal: AbortSignal
  /**
   * Whether to use a pooled connection. The server may close one while the request is in transit: not
   * for requests that must not be repeated.
   */
  keepsAlive: boolean
  /** The error code without an answer. */
  code: ErrorCode
}

export interface IncomingAnswer {
  status: number
  headers: http.IncomingHttpHeaders
  body: Readable
}

/**
 * The only exit for HTTP: sends a request to the issuer or the model service, through the environment's
 * proxy if set, and resolves with the head of the answer. Redirects are not followed, since they would
 * leak the token; the body is decoded from its content coding; no time limit applies besides
 * `signal`.
 * @throws NoAnswerError, also when `signal` fires before an answer, or for a body in an unsupported
 *   content coding.
 */
export async function send(
  url: URL,
  request: OutgoingRequest,
  env: NodeJS.Dict<string> = process.env,
): Promise<IncomingAnswer> {
  const proxy = proxyFor(url, env)
  try {
    if (!proxy) return plain(await sendDirectly(url, request))
    if (!proxy.url) throw new Error(`${proxy.variable} is no address of an HTTP proxy`)
    return plain(await sendThrough(proxy.url, url, request))
  } catch (error) {
    throw new NoAnswerError(request.code, { url, proxy, signal: request.signal, error })
  }
}

function plain(answer: IncomingAnswer): IncomingAnswer {
  return { ...answer, body: decodeBody(answer) }
}

const pooledAgents = {
  'http:': new http.Agent({ keepAlive: true }),
  'https:': new https.Agent({ keepAlive: true, ...CHECKED }),
}

async function sendDirectly(url: URL, request: OutgoingRequest): Promise<IncomingAnswer> {
  const { method, headers, body, signal, keepsAlive } = request
  const isSecure = url.protocol === 'https:'
  const begin = isSecure ? https.request : http.request
  const agent = keepsAlive && pooledAgents[isSecure ? 'https:' : 'http:']
  signal.throwIfAborted()
  return new Promise((resolve, reject) => {
    const outgoing = begin(url, { method, headers, agent, ...CHECKED })
    outgoing.once('response', (answer) => {
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: answer })
      // This error says more than the one that the body's reader would get.
      outgoing.on('error', (error) => answer.destroy(error))
    })
    outgoing.on('error', reject)
    // An upgrade (101) emits neither a response nor an error.
    outgoing.once('close', () => reject(new Error(HUNG_UP)))
    outgoing.end(body)
    // Not the request's `signal` option, which delays it by 0.1 ms.
    process.nextTick(() => {
      const stop = () => void outgoing.destroy(signal.reason)
      signal.addEventListener('abort', stop, { once: true })
      outgoing.once('close', () => signal.removeEventListener('abort', stop))
      if (signal.aborted) stop()
    })
  })
}

async function sendThrough(
  proxyUrl: URL,
  url: URL,
  { method, headers, body, signal, keepsAlive }: OutgoingRequest,
): Promise<IncomingAnswer> {
  const tunnels = await tunnelsThrough(proxyUrl)
  const asking = tunnels.request({
    origin: url.origin,
    path: `${url.pathname}${url.search}`,
    method,
    headers,
    body: body ?? null,
    signal,
    reset: !keepsAlive,
    // A model may think longer than the library's timeouts.
    headersTimeout: 0,
    bodyTimeout: 0,
  })
  const answer = await orAborted(asking, signal)
  return { status: answer.statusCode, headers: answer.headers, body: answer.body }
}

/** The library checks the signal only once the tunnel is open. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop = () => {}
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason)
  })
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop, { once: true })
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
