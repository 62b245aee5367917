import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { finished } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { plainBody } from '../../scripts/drift/plain-body.ts'
import type { Item } from '../../shared/items.ts'
import { type KnownModel, refusalOf } from './service-rules.ts'

/** One answer of the stand-in: to one request, in the order of the script. */
export interface Exchange {
  /** Default 200. */
  status?: number
  /** On top of a content type that fits the body. */
  headers?: Record<string, string>
  /** Text goes out as it is (see `sse`), anything else as JSON. */
  body?: unknown
  /** The content coding of the body; what is not known here is only named. */
  encoding?: string
  /** How the exchange goes wrong, once the body, or `bytes` of it, has been written. */
  fault?: Fault
  /** How much of the body is written before the fault. Default: all of it. */
  bytes?: number
  /** Every byte of the body by itself: about a millisecond each. */
  byteByByte?: boolean
}

/**
 * - `no-answer`: the connection is closed before any header
 * - `cut`: it is closed in the middle of the body
 * - `reset`: the same with a TCP reset, which may overtake bytes already written
 * - `end`: the body ends properly, though something is missing
 * - `stall`: silence, with the connection left open
 */
export type Fault = 'no-answer' | 'cut' | 'reset' | 'end' | 'stall'

/** A request as it arrived. */
export interface RecordedRequest {
  method: string
  path: string
  /** In the order and spelling of the wire. */
  headers: [name: string, value: string][]
  /** The value of a header, by its lower-case name. */
  header(name: string): string | undefined
  body: { input: Item[]; [key: string]: unknown }
  /** When it arrived, in milliseconds of `performance.now()`. */
  at: number
}

export interface ModelServer {
  /** Where it listens, as `RunRequest.endpoint` wants it. */
  readonly endpoint: { url: string; socketPath?: string }
  /** Every request so far. */
  readonly requests: readonly RecordedRequest[]
  /** Exchanges nobody has asked for yet. */
  readonly left: number
  /** Requests beyond the script; they got a 400. */
  readonly unscripted: number
  /** Why requests were refused that no client may send; see `refusalOf`. */
  readonly violations: readonly string[]
  /** Adds to the script. */
  play(...exchanges: Exchange[]): void
  /** Rejects when there were violations, so that no test passes by one. */
  close(): Promise<void>
}

export interface ModelServerOptions {
  socketPath?: string
  /** Those it has; default: all but what the service has retired. */
  models?: readonly KnownModel[]
  /** `none`: it answers whatever comes, for what is not sent by our agent. */
  rules?: 'service' | 'none'
}

/**
 * A real HTTP server on a free port (or on `socketPath`) that plays `script` to whoever asks, and
 * refuses what the service is known to refuse.
 */
export async function startModelServer(
  script: readonly Exchange[],
  { socketPath, models, rules = 'service' }: ModelServerOptions = {},
): Promise<ModelServer> {
  const waiting = [...script]
  const requests: RecordedRequest[] = []
  const violations: string[] = []
  let unscripted = 0

  const server = createServer(async (request, response) => {
    const asked = await record(request).catch(() => undefined)
    // It left in the middle of its request.
    if (!asked) return
    requests.push(asked)
    const refused = rules === 'service' ? refusalOf(asked, models) : undefined
    if (refused) {
      if (refused.isViolation) violations.push(JSON.stringify(refused.body))
      return answer(response, refused)
    }
    const exchange = waiting.shift()
    if (!exchange) unscripted += 1
    await answer(response, exchange ?? BEYOND_SCRIPT)
  })
  if (socketPath) server.listen(socketPath)
  else server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  const host = socketPath ? 'localhost' : `127.0.0.1:${(server.address() as AddressInfo).port}`
  const url = `http://${host}/v1/responses`
  return {
    endpoint: socketPath ? { url, socketPath } : { url },
    requests,
    get left() {
      return waiting.length
    },
    get unscripted() {
      return unscripted
    },
    violations,
    play: (...exchanges) => void waiting.push(...exchanges),
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      if (violations.length > 0) throw new Error(`The service would refuse: ${violations}`)
    },
  }
}

/** A status that no client repeats, so that a request too many ends the run instead of hiding. */
const BEYOND_SCRIPT: Exchange = {
  status: 400,
  body: { error: { message: 'The test asked for more than its script holds.' } },
}

async function record(request: IncomingMessage): Promise<RecordedRequest> {
  const at = performance.now()
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const headers: [string, string][] = []
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    headers.push([request.rawHeaders[index] ?? '', request.rawHeaders[index + 1] ?? ''])
  }
  return {
    method: request.method ?? '',
    path: request.url ?? '',
    headers,
    header: (name) => headers.find(([key]) => key.toLowerCase() === name)?.[1],
    body: JSON.parse(plainBody(Buffer.concat(chunks), request.headers['content-encoding'])),
    at,
  }
}

async function answer(response: ServerResponse, exchange: Exchange): Promise<void> {
  const { status = 200, headers, body, encoding, fault, bytes, byteByByte } = exchange
  if (fault === 'no-answer') return void response.destroy()

  const isText = typeof body === 'string'
  const type = !isText ? 'application/json' : status === 200 ? 'text/event-stream' : 'text/plain'
  const coding = encoding ? { 'content-encoding': encoding } : {}
  response.writeHead(status, { 'content-type': type, ...coding, ...headers })
  response.flushHeaders()

  const plain = Buffer.from(isText ? body : body === undefined ? '' : JSON.stringify(body))
  const whole = ENCODERS[encoding ?? '']?.(plain) ?? plain
  const sent = whole.subarray(0, bytes)
  const size = byteByByte ? 1 : Math.max(sent.length, 1)
  try {
    for (let from = 0; from < sent.length; from += size) {
      await write(response, sent.subarray(from, from + size))
      // Without a pause the client's stream joins what has come in the meantime.
      if (byteByByte) await sleep(1)
    }
    if (fault === 'cut') response.destroy()
    else if (fault === 'reset') response.socket?.resetAndDestroy()
    else if (fault !== 'stall') await finished(response.end())
  } catch {
    // The client has left: what it thinks of the answer is seen on its own side.
  }
}

const ENCODERS: Record<string, (plain: Buffer) => Buffer> = {
  gzip: (plain) => gzipSync(plain),
  deflate: (plain) => deflateSync(plain),
  br: (plain) => brotliCompressSync(plain),
  'gzip, br': (plain) => brotliCompressSync(gzipSync(plain)),
}

/** Resolves when the bytes are with the kernel, so that closing right after does not lose them. */
function write(response: ServerResponse, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    response.write(bytes, (error) => (error ? reject(error) : resolve()))
  })
}

// ---- answers to put into a script ----

export interface StreamEvent {
  type: string
  [key: string]: unknown
}

/** Events as the service writes them. */
export function sse(events: readonly StreamEvent[], eol = '\n'): string {
  return events
    .map((event) => `event: ${event.type}${eol}data: ${JSON.stringify(event)}${eol}${eol}`)
    .join('')
}

export const created = { type: 'response.created', response: { id: 'resp_1' } }
export const completed = { type: 'response.completed', response: { id: 'resp_1' } }
export const done = (item: Item) => ({ type: 'response.output_item.done', item })

/** A whole response that consists of `items`. `end` goes into the `response` of its last event. */
export function itemsAnswer(items: readonly Item[], end: Record<string, unknown> = {}): Exchange {
  return {
    body: sse([
      created,
      ...items.map(done),
      { type: 'response.completed', response: { id: 'resp_1', usage: USAGE, ...end } },
    ]),
  }
}

/** What each answer says it has used. */
export const USAGE = {
  input_tokens: 100,
  input_tokens_details: { cached_tokens: 60 },
  output_tokens: 20,
  output_tokens_details: { reasoning_tokens: 5 },
  total_tokens: 120,
}

/** A whole response with one message. */
export const textAnswer = (text = 'Done.') => itemsAnswer([messageItem(text)])

/** A whole response with calls of function tools: `callsAnswer(['bash', { command: 'true' }])`. */
export function callsAnswer(...calls: [name: string, args: object | string][]): Exchange {
  return itemsAnswer(
    calls.map(([name, args], index) => ({
      type: 'function_call',
      id: `fc_${index + 1}`,
      call_id: `call_${index + 1}`,
      name,
      status: 'completed',
      arguments: typeof args === 'string' ? args : JSON.stringify(args),
    })),
  )
}

/** Its id tells it from a message with another text; the service gives each its own. */
export function messageItem(text: string): Item {
  return {
    type: 'message',
    id: `msg_${text.replace(/\W+/g, '_').slice(0, 40)}`,
    role: 'assistant',
    status: 'completed',
    content: [{ type: 'output_text', text, annotations: [], logprobs: [] }],
  }
}

/** A response that the service gives up on. */
export function failedAnswer(code: string | null, message: string): Exchange {
  return {
    body: sse([
      created,
      {
        type: 'response.failed',
        response: { id: 'resp_1', status: 'failed', error: { code, message } },
      },
    ]),
  }
}
