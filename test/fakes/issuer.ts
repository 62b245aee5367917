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

/** An answer in place of the right one; `hang` never answers. */
export type Reply =
  | 'hang'
  | { status: number; json?: unknown; text?: string; headers?: Record<string, string> }

export interface FakeIssuer {
  url: URL
  /** Who signs in next. */
  account: Account
  accessTokenLifeMs: number
  /** Whether a refresh answers with a new refresh token and burns the old one. */
  rotates: boolean
  /** Answers of the token endpoint, used up one by one before it acts as usual. */
  refreshReplies: Reply[]
  exchangeReplies: Reply[]
  /** Makes the authorize page send the browser back with this error. */
  authorizeError: { error: string; error_description: string } | undefined
  counts: { authorize: number; exchange: number; refresh: number }
  /** Bodies and headers of the token requests, as they came. */
  tokenRequests: { headers: IncomingMessage['headers']; body: string }[]
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
    exchangeReplies: [],
    authorizeError: undefined,
    counts: { authorize: 0, exchange: 0, refresh: 0 },
    tokenRequests: [],
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
    const { pathname, searchParams } = new URL(request.url ?? '/', issuer.url)
    if (request.method === 'GET' && pathname === '/oauth/authorize') {
      issuer.counts.authorize++
      return send(response, authorize(searchParams))
    }
    if (request.method !== 'POST' || pathname !== '/oauth/token') {
      return send(response, { status: 404, text: 'Not found' })
    }
    const body = await textOf(request)
    issuer.tokenRequests.push({ headers: request.headers, body })
    arrivals.emit('token-request')
    if (request.headers['content-type'] === 'application/json') {
      issuer.counts.refresh++
      return send(response, issuer.refreshReplies.shift() ?? refresh(body))
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

  function refresh(body: string): Reply {
    const { refresh_token, grant_type } = JSON.parse(body) as Record<string, string>
    const given = refresh_token ?? ''
    const family = families.get(given)
    if (grant_type !== 'refresh_token' || !family) return refusal('refresh_token_invalidated')
    if (family.revoked) return refusal('refresh_token_invalidated')
    if (family.current !== given) {
      family.revoked = true
      return refusal('refresh_token_reused')
    }
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
