import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { finished } from 'node:stream/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { systemCodeOf } from '../../../shared/errors.ts'
import { type AuthorizationResponse, readAuthorizationResponse } from './authorization-response.ts'
import { CALLBACK_HEADERS, type CallbackPage, renderCallbackPage } from './callback-page.ts'

/** What the browser brought back, with the right state: a code, or why there is none. */
export type Callback = AuthorizationResponse & {
  /** Shows the browser, which waits, how it ended. Resolves when it has seen that, or has gone. */
  show(page: CallbackPage): Promise<void>
}

export interface CallbackServer {
  redirectUri: string
  /** The first valid callback; every later one is turned away. */
  callback: Promise<Callback>
  /** Ends all connections too. */
  close(): Promise<void>
}

export interface CallbackServerOptions {
  issuer: URL
  state: string
  /** Tried in this order. */
  ports: readonly number[]
  /** How long a connection may take to say what it wants. */
  requestTimeoutMs?: number | undefined
}

/**
 * Waits for the browser on this machine's loopback (RFC 8252, 7.3). Any web page can make a browser
 * call these addresses, so whatever lacks the state has no effect, and the wait goes on. Undefined
 * when other programs hold the ports.
 */
export async function startCallbackServer(
  options: CallbackServerOptions,
): Promise<CallbackServer | undefined> {
  let receive: (callback: Callback) => void = () => {}
  const callback = new Promise<Callback>((resolve) => {
    receive = resolve
  })
  const handler = callbackHandler(options, (first) => receive(first))
  const listening = await listenOnFirstFree(options, handler)
  if (!listening) return undefined
  return {
    redirectUri: redirectUri(listening.port),
    callback,
    close: async () => {
      await Promise.all(listening.servers.map(closeServer))
    },
  }
}

/** By address, as the official client has it: what `localhost` leads to differs (RFC 8252, 8.3). */
export const redirectUri = (port: number) => `http://127.0.0.1:${port}/auth/callback`

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>

/** Where the browser is sent at once, so that address bar and history show no code. */
const RESULT_PATH = '/auth/result'

function callbackHandler(
  options: CallbackServerOptions,
  receive: (callback: Callback) => void,
): Handler {
  let result: ResultPage | undefined
  return async (request, response) => {
    const say = (status: number, text: string) =>
      answer(response, status, { 'content-type': 'text/plain; charset=utf-8' }, `${text}\n`)

    // Another name that leads here is a page that rebound its own name to this address.
    if (!isOurHost(request)) return say(421, 'This address answers to localhost only.')
    if (request.method !== 'GET') return say(405, 'GET only.')
    // As it was sent: nothing is decoded or resolved before it is compared.
    const [path, query = ''] = splitOnce(request.url ?? '', '?')
    if (path === RESULT_PATH && result) return result.answer(response)
    if (path !== '/auth/callback') return say(404, 'Not found.')
    if (isPrefetch(request)) return say(503, 'Not before the page is really opened.')

    const params = new URLSearchParams(query)
    const read = readAuthorizationResponse(params, options)
    if (read.status === 'other-state') return say(400, 'The state does not match.')
    if (read.status === 'no-code') return say(400, 'There is no code.')
    if (result) return say(410, 'This sign-in is already used.')
    result = createResultPage()
    receive({ ...read, show: result.show })
    // The work goes on meanwhile: this is the same wait, at an address that tells nothing.
    return answer(response, 303, { location: RESULT_PATH }, '')
  }
}

interface ResultPage {
  answer(response: ServerResponse): Promise<void>
  show: Callback['show']
}

/** The page at the clean address: asked for at once, answered when it is known how it ended. */
function createResultPage(): ResultPage {
  let know: (page: CallbackPage) => void = () => {}
  const known = new Promise<CallbackPage>((resolve) => {
    know = resolve
  })
  let seen: () => void = () => {}
  const wasSeen = new Promise<void>((resolve) => {
    seen = resolve
  })
  return {
    answer: async (response) => {
      const page = await known
      const headers = { 'content-type': 'text/html; charset=utf-8' }
      await answer(response, page.status, headers, renderCallbackPage(page))
      seen()
    },
    show: async (page) => {
      know(page)
      // A browser that was sent here comes within milliseconds, or never.
      await Promise.race([wasSeen, pause(SHOW_MS, undefined, { ref: false })])
    },
  }
}

const SHOW_MS = 1000

function isOurHost(request: IncomingMessage): boolean {
  const port = request.socket.localPort
  const names = [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`]
  return names.includes(request.headers.host ?? '')
}

/** A browser that guesses what will be opened next must not use up the sign-in. */
function isPrefetch({ headers }: IncomingMessage): boolean {
  return `${headers['sec-purpose']} ${headers.purpose}`.includes('prefetch')
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator)
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)]
}

async function answer(
  response: ServerResponse,
  status: number,
  headers: Record<string, string>,
  body: string,
): Promise<void> {
  response.writeHead(status, { ...CALLBACK_HEADERS, ...headers }).end(body)
  // The browser may have gone; then there is nobody to tell.
  await finished(response).catch(() => {})
}

/** Both families on one port: an address pasted with `localhost` must not lead to another program. */
async function listenOnFirstFree(
  options: CallbackServerOptions,
  handler: Handler,
): Promise<{ port: number; servers: Server[] } | undefined> {
  for (const wanted of options.ports) {
    const v4 = await listen(wanted, '127.0.0.1', options, handler)
    if (typeof v4 === 'string') continue
    const { port } = v4.address() as AddressInfo
    const v6 = await listen(port, '::1', options, handler)
    if (v6 === 'unavailable') return { port, servers: [v4] }
    if (v6 !== 'taken') return { port, servers: [v4, v6] }
    await closeServer(v4)
  }
  return undefined
}

async function listen(
  port: number,
  host: string,
  { requestTimeoutMs = 10_000 }: CallbackServerOptions,
  handler: Handler,
): Promise<Server | 'taken' | 'unavailable'> {
  const server = createServer(
    {
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: requestTimeoutMs / 4,
      maxHeaderSize: 16 * 1024,
    },
    handler,
  )
  server.listen(port, host)
  try {
    await once(server, 'listening')
    return server
  } catch (error) {
    const code = systemCodeOf(error)
    // Anything else means that this machine has no such address: IPv6 may be switched off.
    return code === 'EADDRINUSE' || code === 'EACCES' ? 'taken' : 'unavailable'
  }
}

async function closeServer(server: Server): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  server.closeAllConnections()
  await closed
}
