import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { finished } from 'node:stream/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { systemCodeOf } from '../../../shared/errors.ts'
import { type AuthorizationResponse, readAuthorizationResponse } from './authorization-response.ts'
import { CALLBACK_HEADERS, type CallbackPage, renderCallbackPage } from './callback-page.ts'

/** A callback with the right state: a code, or the error. */
export type Callback = AuthorizationResponse & {
  /** Shows the result in the waiting browser. Resolves when the page is sent, or the browser is gone. */
  show(page: CallbackPage): Promise<void>
}

export interface CallbackServer {
  redirectUri: string
  /** The first valid callback; every later one is refused. */
  callback: Promise<Callback>
  /** Closes all connections too. */
  close(): Promise<void>
}

export interface CallbackServerOptions {
  issuer: URL
  state: string
  /** Tried in this order. */
  ports: readonly number[]
  /** How long a connection may take to send its request. */
  requestTimeoutMs?: number | undefined
}

/**
 * Waits for the browser on this machine's loopback (RFC 8252, 7.3). Any web page can make a browser
 * call these addresses, so a request without the state has no effect, and the wait goes on. Undefined
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

/** By address, like the official client: `localhost` may resolve to another address (RFC 8252, 8.3). */
export const redirectUri = (port: number) => `http://127.0.0.1:${port}/auth/callback`

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>

/** The browser is redirected there at once, so that address bar and history show no code. */
const RESULT_PATH = '/auth/result'

function callbackHandler(
  options: CallbackServerOptions,
  receive: (callback: Callback) => void,
): Handler {
  let result: ResultPage | undefined
  return async (request, response) => {
    const say = (status: number, text: string) =>
      answer(response, status, { 'content-type': 'text/plain; charset=utf-8' }, `${text}\n`)

    // Another host name means DNS rebinding by a web page.
    if (!isOurHost(request)) return say(421, 'This address answers to localhost only.')
    if (request.method !== 'GET') return say(405, 'GET only.')
    // The raw path: it is compared before any decoding or resolving.
    const [path, query = ''] = splitOnce(request.url ?? '', '?')
    if (path === RESULT_PATH && result) return result.answer(response)
    if (path !== '/auth/callback') return say(404, 'Not found.')
    if (isPrefetch(request)) return say(503, 'Not before the page is really opened.')

    const params = new URLSearchParams(query)
    const callback = readAuthorizationResponse(params, options)
    if (callback.status === 'other-state') return say(400, 'The state does not match.')
    if (callback.status === 'no-code') return say(400, 'There is no code.')
    if (result) return say(410, 'This sign-in is already used.')
    result = createResultPage()
    receive({ ...callback, show: result.show })
    // The browser waits for the result at an address without the code.
    return answer(response, 303, { location: RESULT_PATH }, '')
  }
}

interface ResultPage {
  answer(response: ServerResponse): Promise<void>
  show: Callback['show']
}

/** The page at `RESULT_PATH`: requested at once, answered when the result is known. */
function createResultPage(): ResultPage {
  let setPage: (page: CallbackPage) => void = () => {}
  const page = new Promise<CallbackPage>((resolve) => {
    setPage = resolve
  })
  let setSent: () => void = () => {}
  const sent = new Promise<void>((resolve) => {
    setSent = resolve
  })
  return {
    answer: async (response) => {
      const result = await page
      const headers = { 'content-type': 'text/html; charset=utf-8' }
      await answer(response, result.status, headers, renderCallbackPage(result))
      setSent()
    },
    show: async (result) => {
      setPage(result)
      // A redirected browser requests the page within milliseconds, or never.
      await Promise.race([sent, pause(SHOW_MS, undefined, { ref: false })])
    },
  }
}

const SHOW_MS = 1000

function isOurHost(request: IncomingMessage): boolean {
  const port = request.socket.localPort
  const names = [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`]
  return names.includes(request.headers.host ?? '')
}

/** A prefetch of the browser must not use up the sign-in. */
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
  // Rejects when the browser is gone.
  await finished(response).catch(() => {})
}

/** IPv4 and IPv6 on one port: an address pasted with `localhost` must not reach another program. */
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
    // Any other code means that this machine has no such address: IPv6 may be switched off.
    return code === 'EADDRINUSE' || code === 'EACCES' ? 'taken' : 'unavailable'
  }
}

async function closeServer(server: Server): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  server.closeAllConnections()
  await closed
}
