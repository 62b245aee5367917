import { createHash, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { finished } from 'node:stream/promises'
import { CodexboxError, systemCodeOf } from '../../shared/errors.ts'
import { CALLBACK_HEADERS, type CallbackPage, renderCallbackPage } from './callback-page.ts'

/** What the browser brought back, with the right state: a code, or why there is none. */
export type Callback = (
  | { status: 'code'; code: string }
  | { status: 'refused'; error: string; description: string }
) & {
  /** Answers the browser, which waits. */
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
  state: string
  /** Tried in this order. */
  ports: readonly number[]
  /** How long a connection may take to say what it wants. */
  requestTimeoutMs?: number | undefined
}

/**
 * Waits for the browser on this machine's loopback (RFC 8252, 7.3). Any web page can make a browser
 * call these addresses, so whatever lacks the state has no effect, and the wait goes on.
 * @throws CodexboxError `sign-in-failed` when no port could be had.
 */
export async function startCallbackServer(options: CallbackServerOptions): Promise<CallbackServer> {
  let receive: (callback: Callback) => void = () => {}
  const callback = new Promise<Callback>((resolve) => {
    receive = resolve
  })
  const handler = callbackHandler(options.state, (first) => receive(first))
  const { port, servers } = await listenOnFirstFree(options, handler)
  return {
    // The name, since that is what the client is registered with. It may lead to either address.
    redirectUri: `http://localhost:${port}/auth/callback`,
    callback,
    close: async () => {
      await Promise.all(servers.map(closeServer))
    },
  }
}

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>

function callbackHandler(state: string, receive: (callback: Callback) => void): Handler {
  let used = false
  return async (request, response) => {
    const say = (status: number, text: string) =>
      answer(response, status, 'text/plain; charset=utf-8', `${text}\n`)

    // Another name that leads here is a page that rebound its own name to this address.
    if (!isOurHost(request)) return say(421, 'This address answers to localhost only.')
    if (request.method !== 'GET') return say(405, 'GET only.')
    // As it was sent: nothing is decoded or resolved before it is compared.
    const [path, query = ''] = splitOnce(request.url ?? '', '?')
    if (path !== '/auth/callback') return say(404, 'Not found.')
    if (isPrefetch(request)) return say(503, 'Not before the page is really opened.')

    const params = new URLSearchParams(query)
    if (!isSameSecret(single(params, 'state'), state)) return say(400, 'The state does not match.')
    const result = readResult(params)
    if (!result) return say(400, 'There is no code.')
    if (used) return say(410, 'This sign-in is already used.')
    used = true
    return receive({
      ...result,
      show: (page) =>
        answer(response, page.status, 'text/html; charset=utf-8', renderCallbackPage(page)),
    })
  }
}

function readResult(params: URLSearchParams) {
  const error = params.get('error')
  if (error) {
    return {
      status: 'refused' as const,
      error: printable(error),
      description: printable(params.get('error_description') ?? ''),
    }
  }
  const code = single(params, 'code')
  return code ? { status: 'code' as const, code } : undefined
}

/** Goes to a terminal too: no control characters, and no novel. */
function printable(text: string): string {
  return text.replace(/\p{C}/gu, ' ').trim().slice(0, 200)
}

function isOurHost(request: IncomingMessage): boolean {
  const port = request.socket.localPort
  const names = [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`]
  return names.includes(request.headers.host ?? '')
}

/** A browser that guesses what will be opened next must not use up the sign-in. */
function isPrefetch({ headers }: IncomingMessage): boolean {
  return `${headers['sec-purpose']} ${headers.purpose}`.includes('prefetch')
}

/** The value of a parameter that is there exactly once. */
function single(params: URLSearchParams, name: string): string {
  const [value = '', ...more] = params.getAll(name)
  return more.length === 0 ? value : ''
}

/** In a time that does not depend on where they differ. */
function isSameSecret(given: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(given), digest(expected))
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator)
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)]
}

async function answer(
  response: ServerResponse,
  status: number,
  contentType: string,
  body: string,
): Promise<void> {
  response.writeHead(status, { ...CALLBACK_HEADERS, 'content-type': contentType }).end(body)
  // The browser may have gone; then there is nobody to tell.
  await finished(response).catch(() => {})
}

/** Both families on one port, or `localhost` could lead the browser to another program. */
async function listenOnFirstFree(
  options: CallbackServerOptions,
  handler: Handler,
): Promise<{ port: number; servers: Server[] }> {
  for (const wanted of options.ports) {
    const v4 = await listen(wanted, '127.0.0.1', options, handler)
    if (typeof v4 === 'string') continue
    const { port } = v4.address() as AddressInfo
    const v6 = await listen(port, '::1', options, handler)
    if (v6 === 'unavailable') return { port, servers: [v4] }
    if (v6 !== 'taken') return { port, servers: [v4, v6] }
    await closeServer(v4)
  }
  throw new CodexboxError(
    'sign-in-failed',
    `The browser can only come back to port ${options.ports.join(' or ')} of this machine, and other ` +
      'programs hold them. Close the other sign-in (codexbox or Codex) that may be waiting there, ' +
      'then try again.',
  )
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
