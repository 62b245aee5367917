import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { CodexboxError, messageOf } from '../../../shared/errors.ts'
import { readExchanges } from './conversation.ts'
import { nextStep } from './next-step.ts'
import { responseEvents, type StreamEvent } from './response-events.ts'
import {
  DEMO_MODEL,
  errorBody,
  type Refusal,
  type ResponsesRequest,
  readResponsesRequest,
} from './responses-request.ts'
import { PromptCache, usageOf } from './usage.ts'

export interface DemoBackend {
  /** The Responses endpoint. */
  readonly url: URL
  /** Ends open streams too. */
  close(): Promise<void>
}

export interface DemoBackendOptions {
  /** A request without it gets a 401: every user of this machine can reach the port. */
  token: string
  /** Delay in ms after each text delta, for a readable pace. Default 20; 0 for none. */
  paceMs?: number
}

const PATH = '/v1/responses'

/**
 * A stand-in for the model service: a real HTTP server on the loopback interface with the service's
 * wire protocol, and a script instead of the model.
 * @throws CodexboxError `model-unreachable` when no port can be opened.
 */
export async function startDemoBackend(options: DemoBackendOptions): Promise<DemoBackend> {
  const cache = new PromptCache()
  const server = createServer((request, response) => {
    serve(request, response, cache, options).catch((error: unknown) => {
      // The client has disconnected or the server is closing: no response is possible.
      if (response.destroyed) return
      if (response.headersSent) response.destroy()
      else send(response, 500, errorBody(`The demo script failed: ${messageOf(error)}`, null, null))
    })
  })
  try {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  } catch (error) {
    throw new CodexboxError(
      'model-unreachable',
      `The demo could not open a port on 127.0.0.1: ${messageOf(error)}. Try again.`,
      { cause: error },
    )
  }
  const { port } = server.address() as AddressInfo
  return {
    url: new URL(`http://127.0.0.1:${port}${PATH}`),
    async close() {
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  cache: PromptCache,
  { token, paceMs = 20 }: DemoBackendOptions,
): Promise<void> {
  const refusal = checkHead(request, token)
  if (refusal) return send(response, refusal.status, refusal.body)
  const parsed = readResponsesRequest(await bodyOf(request))
  if ('refusal' in parsed) return send(response, parsed.refusal.status, parsed.refusal.body)

  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
    'openai-model': DEMO_MODEL,
    'x-request-id': newId('req'),
  })
  await stream(answer(parsed.request, cache), response, paceMs)
}

function checkHead({ url, method, headers }: IncomingMessage, token: string): Refusal | undefined {
  const path = url?.split('?', 1)[0]
  if (path !== PATH || method !== 'POST') {
    return { status: 404, body: errorBody(`Nothing here answers ${method} ${path}.`, null, null) }
  }
  if (headers.authorization !== `Bearer ${token}`) {
    return { status: 401, body: { detail: 'Unauthorized' } }
  }
  return undefined
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

function answer(request: ResponsesRequest, cache: PromptCache): StreamEvent[] {
  const tools = new Set(request.tools.map((tool) => tool.name ?? ''))
  const step = nextStep(readExchanges(request.input), tools)
  return responseEvents(step, {
    model: DEMO_MODEL,
    usage: usageOf(request, step, cache),
    newId,
    withEncryptedReasoning: request.include.includes('reasoning.encrypted_content'),
  })
}

async function stream(
  events: readonly StreamEvent[],
  response: ServerResponse,
  paceMs: number,
): Promise<void> {
  const disconnected = new AbortController()
  response.once('close', () => disconnected.abort())
  for (const event of events) {
    if (disconnected.signal.aborted) return
    response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
    const isPaced = paceMs > 0 && event.type.endsWith('.delta')
    if (isPaced) await sleep(paceMs, undefined, { signal: disconnected.signal })
  }
  response.end()
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

function newId(prefix: string): string {
  return `${prefix}_${randomUUID().replaceAll('-', '')}`
}
