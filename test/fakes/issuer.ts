import { createHash, randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Account {
  id: string
  email: string
  plan: string
}

export interface Grant {
  access_token: string
  refresh_token: string
  id_token: string
}

/**
 * An answer in place of the right one; `hang` never answers, `cut` ends the connection instead, and
 * `lost` does so after it has done what was asked (a refresh).
 */
export type Reply =
  | 'hang'
  | 'cut'
  | 'lost'
  | { status: number; json?: unknown; text?: string; headers?: Record<string, string> }

/** A client that puts `/as/NAME` in front of the path is known by that name. */
export interface Use {
  by: string
  /** Epoch ms. */
  at: number
}

export interface FakeIssuer {
  url: URL
  /** Who signs in next. */
  account: Account
  accessTokenLifeMs: number
  /** Whether a refresh answers with a new refresh token and burns the old one. */
  rotates: boolean
  /** Answers of the token endpoint, used up one by one before it acts as usual. */
  refreshReplies: Reply[]
  /** Awaited after a refresh has been done and before it is answered. */
  beforeRefreshAnswer: (() => Promise<void>) | undefined
  exchangeReplies: Reply[]
  /** Makes the authorize page send the browser back with this error. */
  authorizeError: { error: string; error_description: string } | undefined
  /** Sign-in by device code: whether it is switched on, and whether the person has entered the code. */
  device: { enabled: boolean; approved: boolean; codeReplies: Reply[]; pollReplies: Reply[] }
  revokeReplies: Reply[]
  /** Answers about the workspaces; as usual there is one, with nothing special about it. */
  accountsReplies: Reply[]
  counts: { authorize: number; exchange: number; refresh: number }
  /** Every second use of a refresh token: who had used it first, and who was the second. */
  reuses: { refreshToken: string; first: Use; second: Use }[]
  /** Bodies and headers of the token requests, as they came. */
  tokenRequests: { headers: IncomingMessage['headers']; body: string }[]
  /** Every request, as it came. */
  requests: { method: string; path: string; headers: string[]; body: string }[]
  /** Every token, code and verifier it has seen or made: none of them may be said anywhere. */
  secrets: Set<string>
  /** Resolves when the next token request has arrived. */
  nextTokenRequest(): Promise<void>
  /** A sign-in that has already happened. */
  grant(): Grant
  close(): Promise<void>
}

/**
 * The token service on a real port: codes and refresh tokens are good for one use, and the second
 * use of a refresh token ends its whole family (RFC 9700, 4.14.2).
 */
export async function startFakeIssuer(): Promise<FakeIssuer> {
  const codes = new Map<string, { challenge: string; redirectUri: string; account: Account }>()
  /** Every refresh token ever given, with its family. */
  const families = new Map<string, { current: string; account: Account; revoked: boolean }>()

  const uses = new Map<string, Use>()

  const arrivals = new EventEmitter()
  const server = createServer((request, response) => {
    handle(request, response).catch((error) => response.destroy(error))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  const secret = (kind: string) => {
    const value = `canary-${kind}-${randomBytes(16).toString('base64url')}`
    issuer.secrets.add(value)
    return value
  }

  const tokensOf = (account: Account, refresh_token: string): Grant => {
    const access_token = unsignedJwt({
      exp: Math.floor((Date.now() + issuer.accessTokenLifeMs) / 1000),
      jti: secret('access'),
    })
    const id_token = unsignedJwt({
      email: account.email,
      jti: secret('id'),
      'https://api.openai.com/auth': {
        chatgpt_account_id: account.id,
        chatgpt_plan_type: account.plan,
      },
    })
    issuer.secrets.add(access_token).add(id_token)
    return { access_token, refresh_token, id_token }
  }

  const issuer: FakeIssuer = {
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    account: { id: 'account-1', email: 'ada@example.com', plan: 'plus' },
    accessTokenLifeMs: 60 * 60_000,
    rotates: true,
    refreshReplies: [],
    beforeRefreshAnswer: undefined,
    exchangeReplies: [],
    authorizeError: undefined,
    device: { enabled: true, approved: false, codeReplies: [], pollReplies: [] },
    revokeReplies: [],
    accountsReplies: [],
    counts: { authorize: 0, exchange: 0, refresh: 0 },
    reuses: [],
    tokenRequests: [],
    requests: [],
    secrets: new Set(),
    grant: () => {
      const refreshToken = secret('refresh')
      families.set(refreshToken, {
        current: refreshToken,
        account: issuer.account,
        revoked: false,
      })
      return tokensOf(issuer.account, refreshToken)
    },
    nextTokenRequest: async () => {
      await once(arrivals, 'token-request')
    },
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
  return issuer

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname: path, searchParams } = new URL(request.url ?? '/', issuer.url)
    const [prefix, by = ''] = /^\/as\/([^/]+)/.exec(path) ?? ['']
    const pathname = path.slice(prefix.length)
    const { method = '', rawHeaders } = request
    const body = await textOf(request)
    issuer.requests.push({ method, path: pathname, headers: rawHeaders, body })
    switch (`${method} ${pathname}`) {
      case 'GET /oauth/authorize':
        issuer.counts.authorize++
        return send(response, authorize(searchParams))
      case 'POST /api/accounts/deviceauth/usercode':
        return send(response, issuer.device.codeReplies.shift() ?? userCode())
      case 'POST /api/accounts/deviceauth/token':
        return send(response, issuer.device.pollReplies.shift() ?? pollDevice(body))
      case 'POST /oauth/revoke':
        return send(response, issuer.revokeReplies.shift() ?? revoke(body))
      case 'GET /backend-api/wham/accounts/check':
        return send(response, issuer.accountsReplies.shift() ?? accountsCheck())
      case 'POST /oauth/token':
        break
      default:
        return send(response, { status: 404, text: 'Not found' })
    }
    issuer.tokenRequests.push({ headers: request.headers, body })
    arrivals.emit('token-request')
    if (request.headers['content-type'] === 'application/json') {
      issuer.counts.refresh++
      const reply = issuer.refreshReplies.shift()
      if (reply === 'lost') refresh(body, by)
      const answer = reply ?? refresh(body, by)
      await issuer.beforeRefreshAnswer?.()
      return send(response, answer)
    }
    issuer.counts.exchange++
    return send(response, issuer.exchangeReplies.shift() ?? exchange(new URLSearchParams(body)))
  }

  /** Signs in at once, as a person who is already known would, and sends the browser back. */
  function authorize(query: URLSearchParams): Reply {
    const redirectUri = query.get('redirect_uri') ?? ''
    const back = new URL(redirectUri)
    const challenge = query.get('code_challenge') ?? ''
    if (query.get('response_type') !== 'code' || query.get('code_challenge_method') !== 'S256') {
      return { status: 400, text: 'unsupported' }
    }
    back.searchParams.set('state', query.get('state') ?? '')
    if (issuer.authorizeError) {
      for (const [name, value] of Object.entries(issuer.authorizeError)) {
        back.searchParams.set(name, value)
      }
    } else {
      const code = secret('code')
      codes.set(code, { challenge, redirectUri, account: issuer.account })
      back.searchParams.set('code', code)
    }
    return { status: 302, headers: { location: back.href } }
  }

  function exchange(form: URLSearchParams): Reply {
    const code = form.get('code') ?? ''
    const verifier = form.get('code_verifier') ?? ''
    issuer.secrets.add(verifier)
    const known = codes.get(code)
    codes.delete(code)
    const challenge = createHash('sha256').update(verifier).digest('base64url')
    const good =
      known?.challenge === challenge &&
      known.redirectUri === form.get('redirect_uri') &&
      form.get('grant_type') === 'authorization_code'
    if (!good) return { status: 400, json: { error: 'invalid_grant' } }
    return { status: 200, json: issuer.grant() }
  }

  function userCode(): Reply {
    if (!issuer.device.enabled) return { status: 404, json: { detail: 'Not Found' } }
    const device_auth_id = secret('device')
    return { status: 200, json: { device_auth_id, user_code: 'ABCD-12345', interval: '1' } }
  }

  /** The verifier is made here: in this flow the client has none of its own. */
  function pollDevice(body: string): Reply {
    const { device_auth_id = '', user_code } = JSON.parse(body) as Record<string, string>
    if (!issuer.secrets.has(device_auth_id) || user_code !== 'ABCD-12345') {
      return { status: 404, json: { error: { code: 'deviceauth_not_found' } } }
    }
    if (!issuer.device.approved) {
      return { status: 403, json: { error: { code: 'deviceauth_authorization_pending' } } }
    }
    const authorization_code = secret('code')
    const code_verifier = secret('verifier')
    const challenge = createHash('sha256').update(code_verifier).digest('base64url')
    const redirectUri = new URL('/deviceauth/callback', issuer.url).href
    codes.set(authorization_code, { challenge, redirectUri, account: issuer.account })
    return { status: 200, json: { authorization_code, code_challenge: challenge, code_verifier } }
  }

  function revoke(body: string): Reply {
    const { token = '' } = JSON.parse(body) as Record<string, string>
    const family = families.get(token)
    if (family) family.revoked = true
    return { status: 200, json: {} }
  }

  function accountsCheck(): Reply {
    const none = 'NO_CONSTRAINT'
    const { id } = issuer.account
    const account = { id, workspace_backend_origin: none, account_routing_override: none }
    return { status: 200, json: { accounts: [account] } }
  }

  function refresh(body: string, by: string): Reply {
    const { refresh_token, grant_type } = JSON.parse(body) as Record<string, string>
    const given = refresh_token ?? ''
    const family = families.get(given)
    if (grant_type !== 'refresh_token' || !family) return refusal('refresh_token_invalidated')
    if (family.revoked) return refusal('refresh_token_invalidated')
    const use = { by, at: Date.now() }
    if (family.current !== given) {
      family.revoked = true
      issuer.reuses.push({ refreshToken: given, first: uses.get(given) ?? use, second: use })
      return refusal('refresh_token_reused')
    }
    uses.set(given, use)
    if (issuer.rotates) {
      family.current = secret('refresh')
      families.set(family.current, family)
    }
    return { status: 200, json: tokensOf(family.account, family.current) }
  }
}

export const refusal = (code: string): Reply => ({
  status: 401,
  json: { error: { message: 'canary-body of the token endpoint', code } },
})

/** A JWT that nobody signed; the client does not look. */
export function unsignedJwt(claims: Record<string, unknown>): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'none', typ: 'JWT' })}.${part(claims)}.canary-signature`
}

function send(response: ServerResponse, reply: Reply): void {
  if (reply === 'hang') return
  if (reply === 'cut' || reply === 'lost') {
    response.destroy()
    return
  }
  const text = reply.text ?? JSON.stringify(reply.json ?? {})
  response.writeHead(reply.status, {
    'content-type': reply.text === undefined ? 'application/json' : 'text/html',
    ...reply.headers,
  })
  response.end(text)
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}
