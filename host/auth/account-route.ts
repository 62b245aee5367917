import { z } from 'zod'
import { CodexboxError } from '../../shared/errors.ts'
import { NoAnswerError } from '../net/no-answer-error.ts'
import { withDeadline } from '../net/with-deadline.ts'
import { USER_AGENT } from './client-identity.ts'
import { type Sleep, sleepFor } from './sleep.ts'
import { askForReply, type TokenReply } from './token-endpoint.ts'
import type { Tokens } from './tokens.ts'

/** Where the requests of one account go, and what they carry. */
export interface Route {
  responsesUrl: URL
  headers: Record<string, string>
}

export interface AccountRouteOptions {
  codexBaseUrl: URL
  /** The service itself; any other base URL was set by hand. */
  serviceOrigin?: string | undefined
  timeoutMs?: number | undefined
  pause?: Sleep | undefined
}

/**
 * Finds the route of a sign-in: a workspace may keep its data in one region, and its requests have to
 * go there. Concurrent callers share one request to the service for each access token.
 *
 * A base URL set by hand is not changed, and its server may not know workspaces.
 * @throws TokenRefusedError; CodexboxError `model-unreachable`, `model-refused`
 */
export function accountRoute(options: AccountRouteOptions) {
  const { codexBaseUrl, serviceOrigin = SERVICE_ORIGIN } = options
  const isService = codexBaseUrl.origin === serviceOrigin
  let cached: { accessToken: string; route: Promise<Route> } | undefined

  const find = async (tokens: Tokens): Promise<Route> => {
    const { account_id } = tokens
    if (account_id === undefined) return routeOf(codexBaseUrl, {})
    try {
      const reply = await askWithRetries(tokens, isService, options)
      const { origin, override } = readAccountsCheck(reply, account_id)
      return routeOf(codexBaseUrl, { override, ...(isService ? { origin } : {}) })
    } catch (error) {
      if (isService || !(error instanceof CodexboxError)) throw error
      return routeOf(codexBaseUrl, {})
    }
  }

  return (tokens: Tokens): Promise<Route> => {
    if (cached?.accessToken === tokens.access_token) return cached.route
    const pending = { accessToken: tokens.access_token, route: find(tokens) }
    cached = pending
    pending.route.catch(() => {
      // The failure may be transient: the next caller asks again.
      if (cached === pending) cached = undefined
    })
    return pending.route
  }
}

/** The service refused the access token; a renewed one may be accepted. */
export class TokenRefusedError extends CodexboxError {
  constructor() {
    super('model-refused', `${ASKED} the token was refused. Sign in again if that goes on.`)
  }
}

/** Beside the Codex API: `…/backend-api/codex` has `…/backend-api/wham`. */
export function accountsCheckUrl(codexBaseUrl: URL): URL {
  const base = codexBaseUrl.pathname.replace(/\/+$/, '').replace(/\/codex$/, '')
  return new URL(`${base}/wham/accounts/check`, codexBaseUrl)
}

export interface AccountRegion {
  /** Absent: that of `codexBaseUrl`. */
  origin?: URL | undefined
  override?: 'us' | 'us_cr' | undefined
}

/**
 * The region of this account. An unknown value is an error: a request to the wrong region cannot be
 * undone.
 * @throws TokenRefusedError; CodexboxError `model-refused`
 */
export function readAccountsCheck(reply: TokenReply, accountId: string): AccountRegion {
  if (reply.status === 401) throw new TokenRefusedError()
  if (reply.status !== 200) throw refused(`status ${reply.status} came back.`)
  const accounts = AccountsCheck.safeParse(reply.json).data?.accounts
  if (!accounts) throw refused('an answer without accounts came back.')
  const [account, ...more] = accounts.filter(({ id }) => id === accountId)
  if (!account) throw refused('the account signed in is not among them. Sign in again.')
  if (more.length > 0) throw refused('the account signed in is there more than once.')
  return {
    origin: originOf(account.workspace_backend_origin),
    override: overrideOf(account.account_routing_override),
  }
}

export const SERVICE_ORIGIN = 'https://chatgpt.com'
const OVERRIDE_HEADER = 'x-openai-account-routing-override'
const NO_CONSTRAINT = 'NO_CONSTRAINT'
const ASKED = 'Asked the service which workspaces the account has;'

/** For all attempts together: the user waits for the start of the run. */
const TIMEOUT_MS = 15_000
/** A server that was set by hand and lacks this endpoint should not delay a run. */
const FOREIGN_TIMEOUT_MS = 3000
const RETRY_AFTER_MS = [500, 2000]

const AccountsCheck = z.object({
  accounts: z.array(
    z.object({
      id: z.string(),
      workspace_backend_origin: z.unknown().optional(),
      account_routing_override: z.unknown().optional(),
    }),
  ),
})

function routeOf(codexBaseUrl: URL, { origin, override }: AccountRegion): Route {
  const path = `${codexBaseUrl.pathname.replace(/\/+$/, '')}/responses`
  return {
    responsesUrl: new URL(path, origin ?? codexBaseUrl),
    headers: override ? { [OVERRIDE_HEADER]: override } : {},
  }
}

/** Tokens are sent to this address, so it must be a plain https origin. */
function originOf(value: unknown): URL | undefined {
  if (value === NO_CONSTRAINT) return undefined
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined
  if (url?.protocol !== 'https:' || url.href !== `${url.origin}/`) {
    throw refused('the workspace has an address that is not used: it is no plain https origin.')
  }
  return url
}

function overrideOf(value: unknown): AccountRegion['override'] {
  switch (value) {
    case NO_CONSTRAINT:
      return undefined
    case 'us':
    case 'us_cr':
      return value
    default:
      throw refused(
        'the workspace asks for a routing that codexbox does not know. Update codexbox.',
      )
  }
}

function askWithRetries(
  tokens: Tokens,
  isService: boolean,
  options: AccountRouteOptions,
): Promise<TokenReply> {
  const { pause = sleepFor } = options
  const timeoutMs = options.timeoutMs ?? (isService ? TIMEOUT_MS : FOREIGN_TIMEOUT_MS)
  return withDeadline(timeoutMs, undefined, async (signal) => {
    const attempt = () => getAccountsCheck(tokens, options.codexBaseUrl, { signal, timeoutMs })
    for (const waitMs of isService ? RETRY_AFTER_MS : []) {
      const reply = await attempt().catch((error: unknown) => {
        if (!(error instanceof NoAnswerError) || signal.aborted) throw error
        return undefined
      })
      if (reply && reply.status !== 429 && reply.status < 500) return reply
      // After the deadline, the next attempt throws.
      await pause(waitMs, signal).catch(() => {})
    }
    return attempt()
  })
}

function getAccountsCheck(
  { access_token, account_id = '' }: Tokens,
  codexBaseUrl: URL,
  limits: { signal: AbortSignal; timeoutMs: number },
): Promise<TokenReply> {
  return askForReply(accountsCheckUrl(codexBaseUrl), {
    ...limits,
    method: 'GET',
    headers: {
      'user-agent': USER_AGENT,
      authorization: `Bearer ${access_token}`,
      'chatgpt-account-id': account_id,
      accept: '*/*',
    },
    code: 'model-unreachable',
    // The run's own requests use the same connection in a moment.
    keepsAlive: true,
  })
}

const refused = (what: string) => new CodexboxError('model-refused', `${ASKED} ${what}`)
