import { randomBytes } from 'node:crypto'
import { CodexboxError, messageOf } from '../../../shared/errors.ts'
import { withDeadline } from '../../net/with-deadline.ts'
import { CLIENT_ID, ORIGINATOR } from '../client-identity.ts'
import { issuerUrl } from '../token-endpoint.ts'
import type { Tokens } from '../tokens.ts'
import type { AuthorizationResponse } from './authorization-response.ts'
import { type Callback, redirectUri, startCallbackServer } from './callback-server.ts'
import { exchangeCode } from './code-exchange.ts'
import { readPasted } from './pasted-address.ts'
import { createPkce } from './pkce.ts'
import type { Ask } from './prompt.ts'

export interface BrowserSignInOptions {
  issuer: URL
  /**
   * Opens the address in a browser on this machine. It may fail: the address is also shown. Absent when
   * the browser is on another machine: no browser is opened, no port is taken, and only `ask` is used.
   */
  openUrl?: ((url: string) => Promise<void>) | undefined
  /** Shows one line to the user. */
  say: (line: string) => void
  /** Asks for the final address of the browser, while the callback may still arrive. */
  ask?: Ask | undefined
  /** Stores the tokens. Called before the browser shows success, so that the page is true. */
  save: (tokens: Tokens) => Promise<void>
  /** Ports of the callback; the default are those of the client's registration. */
  ports?: readonly number[] | undefined
  /** How long the user may take; 10 minutes by default. */
  lifetimeMs?: number | undefined
  /** How long the issuer may take to answer; 30 seconds by default. */
  timeoutMs?: number | undefined
  signal?: AbortSignal | undefined
  now?: (() => number) | undefined
}

/**
 * Signs in through the browser: authorization code with PKCE (RFC 6749, 7636, 8252). The response
 * arrives at the callback or is pasted, whichever comes first.
 * @throws CodexboxError `sign-in-failed`; the errors of `save`.
 */
export async function signInWithBrowser(options: BrowserSignInOptions): Promise<Tokens> {
  const { issuer, openUrl, ports = PORTS } = options
  const pkce = createPkce()
  const state = randomBytes(32).toString('base64url')
  const server = openUrl && (await startCallbackServer({ issuer, state, ports }))
  if (openUrl && !server && !options.ask) throw portsTaken(ports)
  // Without a server the browser ends on a page that cannot be shown; its address has the code.
  const back = server?.redirectUri ?? redirectUri(PORTS[0])
  try {
    const url = authorizeUrl(issuer, { redirectUri: back, state, challenge: pkce.challenge })
    if (openUrl && !server)
      options.say(`${portsTaken(ports).message} Or paste the address by hand:`)
    options.say(server ? `${HERE}\n${url}` : `${ELSEWHERE}\n${url}`)
    if (server) await openQuietly(url, options)
    const answer = await firstAnswer(server?.callback, state, options)
    return await finish(answer, async () => {
      const { signal, timeoutMs, now = Date.now } = options
      const params = paramsOf(answer)
      const exchange = { issuer, params, redirectUri: back, verifier: pkce.verifier }
      const tokens = await exchangeCode({ ...exchange, signal, timeoutMs }, now)
      await options.save(tokens)
      return tokens
    })
  } catch (error) {
    // After an abort, any error is a consequence of the abort.
    if (options.signal?.aborted) throw stoppedError()
    throw error
  } finally {
    await server?.close()
  }
}

/** The parameters in the order of the official client, with the scopes that it is granted. */
export function authorizeUrl(
  issuer: URL,
  request: { redirectUri: string; state: string; challenge: string },
): string {
  const url = issuerUrl(issuer, '/oauth/authorize')
  url.search = new URLSearchParams([
    ['response_type', 'code'],
    ['client_id', CLIENT_ID],
    ['redirect_uri', request.redirectUri],
    ['code_challenge', request.challenge],
    ['code_challenge_method', 'S256'],
    ['state', request.state],
    ['scope', SCOPE],
    ['id_token_add_organizations', 'true'],
    ['codex_cli_simplified_flow', 'true'],
    ['originator', ORIGINATOR],
  ]).toString()
  return url.href
}

/** The service redirects a browser to these two ports only. */
export const PORTS = [1455, 1457] as const
const LIFETIME_MS = 10 * 60_000
const SCOPE = 'openid profile email offline_access api.connectors.read api.connectors.invoke'

const HERE = 'Sign in to ChatGPT in your browser. If none opens, open this address:'
const ELSEWHERE =
  'Sign in to ChatGPT at this address, in any browser. In the end it goes to a page of ' +
  '127.0.0.1, which may fail to load: the address of that page is what is needed here.'
const QUESTION = 'Browser on another machine? Paste the address it ends on: '
const QUESTION_ALONE = 'Paste the address the browser ends on: '

async function openQuietly(url: string, { openUrl, say }: BrowserSignInOptions): Promise<void> {
  try {
    await openUrl?.(url)
  } catch {
    // No browser here (a server, an SSH session): the address can be opened by hand.
    say('No browser could be opened; open the address above yourself.')
  }
}

/** A pasted answer has no browser that waits for a page. */
type Answer = AuthorizationResponse & Partial<Pick<Callback, 'show'>>

/** The callback or the pasted address, whichever comes first; the other is ignored. */
function firstAnswer(
  callback: Promise<Callback> | undefined,
  state: string,
  options: BrowserSignInOptions,
): Promise<Answer> {
  const lifetimeMs = options.lifetimeMs ?? LIFETIME_MS
  return withDeadline(lifetimeMs, options.signal, async (signal) => {
    const over = new AbortController()
    const stopped = new Promise<never>((_, reject) => {
      const stop = () => {
        over.abort()
        reject(options.signal?.aborted ? stoppedError() : tooLate(lifetimeMs))
      }
      if (signal.aborted) stop()
      signal.addEventListener('abort', stop, { once: true })
    })
    const answers: Promise<Answer>[] = [stopped]
    if (callback) answers.push(callback)
    if (options.ask) answers.push(pastedAnswer(callback, state, over.signal, options))
    try {
      return await Promise.race(answers)
    } finally {
      over.abort()
    }
  })
}

async function pastedAnswer(
  callback: Promise<Callback> | undefined,
  state: string,
  signal: AbortSignal,
  { ask, issuer, say }: BrowserSignInOptions,
): Promise<Answer> {
  for await (const line of ask?.(callback ? QUESTION : QUESTION_ALONE, signal) ?? []) {
    const pasted = readPasted(line, { issuer, state })
    if (pasted.status === 'code' || pasted.status === 'refused') return pasted
    if (pasted.status === 'unusable') say(`${pasted.why} The sign-in still waits.`)
  }
  // The input has ended; the callback may still arrive.
  if (callback) return callback
  throw new CodexboxError('sign-in-failed', 'Nothing was pasted. Start the sign-in again.')
}

/** Runs `work` while the browser waits, and shows the result there. */
async function finish<T>(answer: Answer, work: () => Promise<T>): Promise<T> {
  try {
    const result = await work()
    await answer.show?.({
      status: 200,
      title: 'You are signed in',
      text: 'codexbox can use your ChatGPT subscription now.',
      next: 'You can close this tab and go back to the terminal.',
    })
    return result
  } catch (error) {
    await answer.show?.({
      status: 400,
      title: 'The sign-in did not succeed',
      text: messageOf(error),
      next: 'You can close this tab; the terminal says the same.',
    })
    throw error
  }
}

function paramsOf(answer: AuthorizationResponse): URLSearchParams {
  if (answer.status === 'code') return answer.params
  const { error, description } = answer
  if (error === 'access_denied' && description.includes('missing_codex_entitlement')) {
    throw new CodexboxError(
      'sign-in-failed',
      'Codex is switched off in your ChatGPT workspace. Ask its administrator to switch it on.',
    )
  }
  throw new CodexboxError(
    'sign-in-failed',
    `The service refused the sign-in: ${description || error}. Try again, or with another account.`,
  )
}

function portsTaken(ports: readonly number[]): CodexboxError {
  return new CodexboxError(
    'sign-in-failed',
    `The browser can only come back to port ${ports.join(' or ')} of this machine, and other ` +
      'programs hold them. Close the other sign-in (codexbox or Codex) that may be waiting there, ' +
      'then try again.',
  )
}

const stoppedError = () =>
  new CodexboxError('sign-in-failed', 'The sign-in was stopped. Nothing was changed.')

const tooLate = (lifetimeMs: number) =>
  new CodexboxError(
    'sign-in-failed',
    `Nobody signed in within ${lifetimeMs / 60_000} minutes. Start the sign-in again.`,
  )
