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
   * Whether the connection is kept for the next request, and may be one that was. Such a one may turn
   * out to be closed when the request is on its way already: not for what can be sent only once.
   */
  keepsAlive: boolean
  /** The code of the error when no answer came. */
  code: ErrorCode
}

export interface IncomingAnswer {
  status: number
  headers: http.IncomingHttpHeaders
  body: Readable
}

/**
 * The one way out: sends a request to the issuer or the model service, through a proxy where the
 * environment names one, and resolves with the head of the answer. No redirect is followed, for the
 * token would go along; the body comes without its content coding; no time limit is set beside
 * `signal`.
 * @throws NoAnswerError, also when `signal` fires before there is an answer, or for a body in a coding
 *   that cannot be undone.
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

const kept = {
  'http:': new http.Agent({ keepAlive: true }),
  'https:': new https.Agent({ keepAlive: true, ...CHECKED }),
}

async function sendDirectly(url: URL, request: OutgoingRequest): Promise<IncomingAnswer> {
  const { method, headers, body, signal, keepsAlive } = request
  const isSecure = url.protocol === 'https:'
  const begin = isSecure ? https.request : http.request
  const agent = keepsAlive && kept[isSecure ? 'https:' : 'http:']
  signal.throwIfAborted()
  return new Promise((resolve, reject) => {
    const outgoing = begin(url, { method, headers, agent, ...CHECKED })
    outgoing.once('response', (answer) => {
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: answer })
      // It says more than the reader of the body would be told.
      outgoing.on('error', (error) => answer.destroy(error))
    })
    outgoing.on('error', reject)
    // An answer that is an upgrade (101) is neither a response nor an error.
    outgoing.once('close', () => reject(new Error(HUNG_UP)))
    outgoing.end(body)
    // By hand, and now: as an option of the request the signal would hold it up for 0.1 ms.
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
    // A model may think for longer than the library would wait.
    headersTimeout: 0,
    bodyTimeout: 0,
  })
  const answer = await orAborted(asking, signal)
  return { status: answer.statusCode, headers: answer.headers, body: answer.body }
}

/** The library looks at the signal only once the tunnel is there. */
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
