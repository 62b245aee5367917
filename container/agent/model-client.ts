import http from 'node:http'
import type https from 'node:https'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeBody } from '../../shared/decode-body.ts'
import { HUNG_UP, reasonOf, systemCodeOf } from '../../shared/errors.ts'
import { eventStream, isPageType } from '../../shared/event-stream.ts'
import { loadModule } from '../../shared/load-module.ts'
import type { RunRequest } from '../../shared/protocol.ts'
import { authorizationHeaders, type Secrets } from '../../shared/secrets.ts'
import { socketAddress } from '../../shared/socket-address.ts'
import type { RefusedResponse } from './model-failure.ts'

export type ModelStream =
  | { status: 'streaming'; headers: http.IncomingHttpHeaders; chunks: AsyncIterable<Buffer> }
  | { status: 'refused'; headers: http.IncomingHttpHeaders; response: RefusedResponse }

export interface PostOptions {
  secrets: Secrets
  /** Headers beside the fixed ones: the turn state. */
  headers: Record<string, string>
  body: string
  signal: AbortSignal
}

/** Sends requests to the one endpoint this container knows, over one keep-alive connection. */
export class ModelClient {
  readonly #endpoint: RunRequest['endpoint']
  readonly #conversationId: string
  // node:http and not fetch: the first use of fetch costs 20 ms and 40 MB.
  readonly #transport: typeof http | typeof https
  readonly #agent: http.Agent

  constructor({ endpoint, conversationId }: Pick<RunRequest, 'endpoint' | 'conversationId'>) {
    this.#endpoint = endpoint
    this.#conversationId = conversationId
    this.#transport = endpoint.url.startsWith('https:') ? loadModule('node:https') : http
    this.#agent = new this.#transport.Agent({ keepAlive: true })
  }

  /** Rejects with the system error when the connection fails. */
  async post(options: PostOptions): Promise<ModelStream> {
    const response = await this.#sendWithRetry(options)
    const { statusCode: status = 0, headers } = response
    const answer = decodeBody({ status, headers, body: response })
    // A web page instead of a stream comes from a proxy, not from the service, even with status 200.
    const type = headers['content-type']
    if (status === 200 && !isPageType(type)) {
      return { status: 'streaming', headers, chunks: chunksOf(eventStream(type, answer)) }
    }
    return {
      status: 'refused',
      headers,
      response: { status, headers, body: await readRefusal(answer, options) },
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  /** Repeats a request that was not sent because the socket's queue is full (EAGAIN, connect(2)). */
  async #sendWithRetry(options: PostOptions): Promise<http.IncomingMessage> {
    const deadline = performance.now() + QUEUE_MS
    for (;;) {
      try {
        return await this.#send(options)
      } catch (error) {
        if (systemCodeOf(error) !== 'EAGAIN' || performance.now() > deadline) throw error
        await sleep(QUEUE_PAUSE_MS)
      }
    }
  }

  async #send({ secrets, headers, body, signal }: PostOptions): Promise<http.IncomingMessage> {
    const { url, socketPath, headers: identity } = this.#endpoint
    const request = this.#transport.request(url, {
      method: 'POST',
      agent: this.#agent,
      signal,
      ...(socketPath ? { socketPath: socketAddress(socketPath) } : {}),
      headers: {
        ...identity,
        ...headers,
        'session-id': this.#conversationId,
        'thread-id': this.#conversationId,
        accept: 'text/event-stream',
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        ...authorizationHeaders(secrets),
      },
    })
    return new Promise((resolve, reject) => {
      request.once('response', (response) => {
        resolve(response)
        // The request's error is more precise than the one the reader of the response would get.
        request.on('error', (error) => response.destroy(error))
      })
      request.on('error', reject)
      // An answer that is an upgrade (101) is neither a response nor an error.
      request.once('close', () => reject(new Error(HUNG_UP)))
      request.end(body)
    })
  }
}

/** Other processes in the container may connect to the host's socket as well, without limit. */
const QUEUE_MS = 10_000
const QUEUE_PAUSE_MS = 5

/** How long the rest of a response may take after its reader has left; a later request has a new connection. */
const DRAIN_MS = 1000

async function* chunksOf(response: Readable): AsyncGenerator<Buffer> {
  try {
    yield* response.iterator({ destroyOnReturn: false })
  } finally {
    // A reader may leave early. Once the response is drained, the connection can be used again.
    const drain = setTimeout(() => response.destroy(), DRAIN_MS)
    drain.unref()
    response.once('close', () => clearTimeout(drain))
    response.on('error', () => {}) // The reader has had its error; this is about the rest.
    response.resume()
  }
}

const MAX_ERROR_BODY_BYTES = 64 * 1024

async function readRefusal(response: Readable, { secrets, signal }: PostOptions): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes > MAX_ERROR_BODY_BYTES) break
    }
  } catch (error) {
    // Still a refusal, with its status and its headers.
    return signal.aborted ? '' : reasonOf(error)
  }
  return mask(Buffer.concat(chunks).toString('utf8', 0, MAX_ERROR_BODY_BYTES), secrets)
}

/** A body that echoes the request must not carry the token into an event. */
function mask(text: string, secrets: Secrets): string {
  return text.replaceAll(secrets.CODEX_ACCESS_TOKEN, '<token>')
}
