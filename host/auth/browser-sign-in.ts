import { randomBytes } from 'node:crypto'
import { CodexboxError, messageOf } from '../../shared/errors.ts'
import { type Callback, startCallbackServer } from './callback-server.ts'
import { CLIENT_ID, ORIGINATOR } from './client-identity.ts'
import { postCode, readCodeResponse } from './code-exchange.ts'
import { createPkce } from './pkce.ts'
import { issuerUrl } from './token-endpoint.ts'
import type { Tokens } from './tokens.ts'
import { withDeadline } from './with-deadline.ts'

export interface BrowserSignInOptions {
  issuer: URL
  /** Opens the address in a browser. It may fail: the address is said as well. */
  openUrl: (url: string) => Promise<void>
  /** Says one line to the person. */
  say: (line: string) => void
  /** Keeps the tokens. Called before the browser shows success, so that the page tells the truth. */
  save: (tokens: Tokens) => Promise<void>
  /** Where the browser may come back to; the default is what the client is registered with. */
  ports?: readonly number[] | undefined
  /** How long the person may take; 10 minutes by default. */
  lifetimeMs?: number | undefined
  signal?: AbortSignal | undefined
  now?: (() => number) | undefined
}

/**
 * Signs in through the browser: authorization code with PKCE (RFC 6749, 7636, 8252).
 * @throws CodexboxError `sign-in-failed`; whatever `save` throws.
 */
export async function signInWithBrowser(options: BrowserSignInOptions): Promise<Tokens> {
  const pkce = createPkce()
  const state = randomBytes(32).toString('base64url')
  const server = await startCallbackServer({ state, ports: options.ports ?? PORTS })
  const { redirectUri } = server
  try {
    const url = authorizeUrl(options.issuer, { redirectUri, state, challenge: pkce.challenge })
    options.say(`Sign in to ChatGPT in your browser. If none opens, open this address:\n${url}`)
    await openQuietly(url, options)
    const callback = await waitFor(server.callback, options)
    return await finish(callback, async () => {
      const code = codeOf(callback)
      const { issuer, signal, now = Date.now } = options
      const reply = await postCode({ issuer, code, redirectUri, verifier: pkce.verifier, signal })
      const tokens = readCodeResponse(reply, now())
      await options.save(tokens)
      return tokens
    })
  } finally {
    await server.close()
  }
}

/** The parameters in the order of the official client; the scopes are those it is granted. */
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

/** The service only sends a browser back to these two. */
const PORTS = [1455, 1457]
const LIFETIME_MS = 10 * 60_000
const SCOPE = 'openid profile email offline_access api.connectors.read api.connectors.invoke'

async function openQuietly(url: string, { openUrl, say }: BrowserSignInOptions): Promise<void> {
  try {
    await openUrl(url)
  } catch {
    // No browser here (a server, an SSH session): the address can be opened by hand.
    say('No browser could be opened; open the address above yourself.')
  }
}

function waitFor(callback: Promise<Callback>, options: BrowserSignInOptions): Promise<Callback> {
  const lifetimeMs = options.lifetimeMs ?? LIFETIME_MS
  return withDeadline(lifetimeMs, options.signal, (signal) => {
    const stopped = new Promise<never>((_, reject) => {
      const stop = () =>
        reject(
          new CodexboxError(
            'sign-in-failed',
            options.signal?.aborted
              ? 'The sign-in was stopped. Nothing was changed.'
              : `Nobody signed in within ${lifetimeMs / 60_000} minutes. Start the sign-in again.`,
          ),
        )
      if (signal.aborted) stop()
      signal.addEventListener('abort', stop, { once: true })
    })
    return Promise.race([callback, stopped])
  })
}

/** Does the rest while the browser waits, and shows there how it ended. */
async function finish<T>(callback: Callback, work: () => Promise<T>): Promise<T> {
  try {
    const result = await work()
    await callback.show({
      status: 200,
      title: 'You are signed in',
      text: 'You can close this tab and go back to the terminal.',
    })
    return result
  } catch (error) {
    await callback.show({
      status: 400,
      title: 'The sign-in did not succeed',
      text: `${messageOf(error)} You can close this tab; the terminal says the same.`,
    })
    throw error
  }
}

function codeOf(callback: Callback): string {
  if (callback.status === 'code') return callback.code
  const { error, description } = callback
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
