import { once } from 'node:events'
import { createServer as createHttpServer, request as httpRequest } from 'node:http'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { inspect } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  authorizeUrl,
  type BrowserSignInOptions,
  signInWithBrowser,
} from '../../host/auth/sign-in/browser-sign-in.ts'
import { startCallbackServer } from '../../host/auth/sign-in/callback-server.ts'
import type { Tokens } from '../../host/auth/tokens.ts'
import { type FakeIssuer, type Reply, startFakeIssuer } from '../fakes/issuer.ts'

let issuer: FakeIssuer
let said: string[]
let saved: Tokens[]

beforeEach(async () => {
  issuer = await startFakeIssuer()
  said = []
  saved = []
})

afterEach(() => issuer.close())

/** A sign-in under way: `address` is where the issuer would send the browser, code and all. */
async function begin(about: Partial<BrowserSignInOptions> = {}) {
  let opened: (url: string) => void = () => {}
  const url = new Promise<string>((resolve) => {
    opened = resolve
  })
  const result = signInWithBrowser({
    issuer: issuer.url,
    say: (line) => said.push(line),
    save: async (tokens) => {
      saved.push(tokens)
    },
    ports: [0],
    ...about,
    openUrl: async (address) => {
      opened(address)
      await about.openUrl?.(address)
    },
  })
  result.catch(() => {})
  const answer = await fetch(await url, { redirect: 'manual' })
  const address = new URL(answer.headers.get('location') ?? '')
  return { result, address, authorize: new URL(await url) }
}

const changed = (address: URL, change: (params: URLSearchParams) => void) => {
  const copy = new URL(address)
  change(copy.searchParams)
  return copy
}

/** Sends just this, since `fetch` would mend the path and does not let one choose the Host. */
async function raw(address: URL, about: { path?: string; host?: string; method?: string }) {
  const request = httpRequest({
    host: '127.0.0.1',
    port: address.port,
    path: about.path ?? address.pathname + address.search,
    method: about.method ?? 'GET',
    headers: { host: about.host ?? address.host },
  }).end()
  const [response] = await once(request, 'response')
  response.resume()
  return response as { statusCode: number; headers: Record<string, string> }
}

/** The sign-in still works: what happened before had no effect. */
async function expectStillWaiting({ result, address }: Awaited<ReturnType<typeof begin>>) {
  expect(issuer.counts.exchange).toBe(0)
  expect((await fetch(address)).status).toBe(200)
  expect((await result).account_id).toBe('account-1')
}

test('a person signs in through the browser', async () => {
  const { result, address } = await begin()

  const page = await fetch(address)
  const tokens = await result

  expect(page.status).toBe(200)
  expect(await page.text()).toContain('You are signed in')
  expect(tokens).toMatchObject({
    version: 1,
    account_id: 'account-1',
    email: 'ada@example.com',
    plan: 'plus',
  })
  expect(saved).toEqual([tokens])
  expect(issuer.counts).toEqual({ authorize: 1, exchange: 1, refresh: 0 })
})

test('the address asks for what the official client asks for, in our own name', () => {
  const url = authorizeUrl(new URL('https://auth.openai.com'), {
    redirectUri: 'http://127.0.0.1:1455/auth/callback',
    state: 'STATE',
    challenge: 'CHALLENGE',
  })

  expect(url).toBe(
    'https://auth.openai.com/oauth/authorize?response_type=code' +
      '&client_id=app_EMoamEEZ73f0CkXaXp7hrann' +
      '&redirect_uri=http%3A%2F%2F127.0.0.1%3A1455%2Fauth%2Fcallback' +
      '&code_challenge=CHALLENGE&code_challenge_method=S256&state=STATE' +
      '&scope=openid+profile+email+offline_access+api.connectors.read+api.connectors.invoke' +
      '&id_token_add_organizations=true&codex_cli_simplified_flow=true&originator=codexbox',
  )
})

test('the code is exchanged by a form with the fields of the official client', async () => {
  const { result, address, authorize } = await begin()

  await fetch(address)
  await result

  const form = new URLSearchParams(issuer.tokenRequests[0]?.body)
  expect([...form.keys()].sort()).toEqual([
    'client_id',
    'code',
    'code_verifier',
    'grant_type',
    'redirect_uri',
  ])
  expect(form.get('redirect_uri')).toBe(authorize.searchParams.get('redirect_uri'))
  expect(authorize.searchParams.get('state')).toMatch(/^[\w-]{43}$/)
})

test('the page loads and runs nothing, is kept nowhere, and knows light and dark', async () => {
  const { result, address } = await begin()

  const page = await fetch(address)
  await result

  expect(page.headers.get('cache-control')).toBe('no-store')
  expect(page.headers.get('referrer-policy')).toBe('no-referrer')
  expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
  expect(page.headers.get('location')).toBeNull()
  const html = await page.text()
  expect(html).toContain('prefers-color-scheme: dark')
  expect(html).toContain('go back to the terminal')
  expect(html).not.toMatch(/<script|src=|href=/)
})

test('the page is at an address that tells nothing, so that the history shows no code', async () => {
  const { result, address } = await begin()

  const page = await fetch(address)
  await result

  expect(page.url).toBe(new URL('/auth/result', address).href)
  expect(await page.text()).toContain('You are signed in')
})

test('before the browser came back there is no result to look at', async () => {
  const signIn = await begin()

  expect((await fetch(new URL('/auth/result', signIn.address))).status).toBe(404)
  await expectStillWaiting(signIn)
})

test('a browser that leaves without a look at the result holds nothing up for long', async () => {
  const { result, address } = await begin()
  const began = Date.now()

  await fetch(address, { redirect: 'manual' })

  expect((await result).account_id).toBe('account-1')
  expect(Date.now() - began).toBeLessThan(5000)
})

test('the address is said, and a browser that cannot be opened is no failure', async () => {
  const openUrl = () => Promise.reject(new Error('no browser'))
  const { result, address, authorize } = await begin({ openUrl })

  await fetch(address)
  await result

  expect(said[0]).toContain(authorize.href)
  expect(said[1]).toContain('open the address above yourself')
})

const marked = (mark: string) => (query: URLSearchParams) =>
  query.set('state', `${query.get('state')}${mark}`)

test('the mark that the service leaves on a state after an onboarding is accepted', async () => {
  const signIn = await begin()

  await fetch(changed(signIn.address, marked('.onboarding_entrypoint=life_sciences')))

  expect((await signIn.result).account_id).toBe('account-1')
})

test('a wrong state is refused, and the wait goes on', async () => {
  const signIn = await begin()

  const answer = await fetch(changed(signIn.address, (query) => query.set('state', 'x'.repeat(43))))

  expect(answer.status).toBe(400)
  await expectStillWaiting(signIn)
})

test.each([
  ['missing', (query: URLSearchParams) => query.delete('state')],
  ['empty', (query: URLSearchParams) => query.set('state', '')],
  ['given twice', (query: URLSearchParams) => query.append('state', query.get('state') ?? '')],
  [
    'an array',
    (query: URLSearchParams) => {
      query.append('state[]', query.get('state') ?? '')
      query.delete('state')
    },
  ],
  [
    'only begun',
    (query: URLSearchParams) => query.set('state', query.get('state')?.slice(1) ?? ''),
  ],
  ['marked in another way', marked('.onboarding_entrypoint=other')],
  ['marked and longer', marked('.onboarding_entrypoint=life_sciences.')],
  [
    'marked twice',
    marked('.onboarding_entrypoint=life_sciences.onboarding_entrypoint=life_sciences'),
  ],
  [
    'nothing but the mark',
    (query: URLSearchParams) => query.set('state', '.onboarding_entrypoint=life_sciences'),
  ],
])('a state that is %s is refused, and the wait goes on', async (_, change) => {
  const signIn = await begin()

  expect((await fetch(changed(signIn.address, change))).status).toBe(400)
  await expectStillWaiting(signIn)
})

test.each([
  ['missing', (query: URLSearchParams) => query.delete('code'), 400],
  ['empty', (query: URLSearchParams) => query.set('code', ''), 400],
  ['given twice', (query: URLSearchParams) => query.append('code', 'other'), 400],
  ['1 MB long', (query: URLSearchParams) => query.set('code', 'c'.repeat(1024 * 1024)), 431],
])('a code that is %s causes no token request', async (_, change, status) => {
  const signIn = await begin()

  // The server may hang up before it has read all of a megabyte.
  const answer = await fetch(changed(signIn.address, change)).catch(() => ({ status }))

  expect(answer.status).toBe(status)
  await expectStillWaiting(signIn)
})

test.each(['evil.example', 'localhost.evil', 'localhost', 'localhost:1', '127.0.0.1.evil:80'])(
  'for a Host of %j, not even the state is looked at',
  async (host) => {
    const signIn = await begin()

    expect((await raw(signIn.address, { host })).statusCode).toBe(421)
    await expectStillWaiting(signIn)
  },
)

test('a request without Host is refused', async () => {
  const signIn = await begin()
  const socket = connect(Number(signIn.address.port), '127.0.0.1')
  socket.write(`GET ${signIn.address.pathname}${signIn.address.search} HTTP/1.1\r\n\r\n`)

  const [answer] = await once(socket, 'data')

  expect(String(answer)).toMatch(/^HTTP\/1.1 400/)
  socket.destroy()
  await expectStillWaiting(signIn)
})

test.each(['localhost', '[::1]'])('the browser may come by the name %s', async (name) => {
  const { result, address } = await begin()

  expect((await raw(address, { host: `${name}:${address.port}` })).statusCode).toBe(303)
  await result
})

test.each(['HEAD', 'POST', 'OPTIONS', 'PUT'])('%s has no effect', async (method) => {
  const signIn = await begin()

  const answer = await raw(signIn.address, { method })

  expect(answer.statusCode).toBe(405)
  expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual(
    [],
  )
  await expectStillWaiting(signIn)
})

test('a page that guesses is not allowed to read the answer', async () => {
  const signIn = await begin()

  const answer = await fetch(new URL('/auth/callback?code=x', signIn.address), {
    headers: { origin: 'https://evil.example' },
  })

  expect(answer.status).toBe(400)
  expect(answer.headers.get('access-control-allow-origin')).toBeNull()
  await expectStillWaiting(signIn)
})

test('of two callbacks at the same time, one is used', async () => {
  const { result, address } = await begin()

  const answers = await Promise.all([fetch(address), fetch(address)])
  await result

  expect(answers.map((answer) => answer.status).sort()).toEqual([200, 410])
  expect(issuer.counts.exchange).toBe(1)
})

test('a refusal of the service ends the sign-in, and its words are shown as text', async () => {
  issuer.authorizeError = {
    error: 'access_denied',
    error_description: '<script>alert(1)</script>\u001b[31m "no"',
  }
  const { result, address } = await begin()

  const html = await (await fetch(address)).text()

  const error = await result.catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'sign-in-failed' })
  expect((error as Error).message).toContain('"no"')
  expect((error as Error).message).not.toContain('\u001b')
  expect(html).not.toContain('<script')
  expect(html).toContain('&#60;script&#62;')
  expect(issuer.counts.exchange).toBe(0)
})

test('a refusal without the state is nobody', async () => {
  const signIn = await begin()

  const answer = await fetch(new URL('/auth/callback?error=access_denied', signIn.address))

  expect(answer.status).toBe(400)
  await expectStillWaiting(signIn)
})

test('a workspace without Codex is said to be one', async () => {
  issuer.authorizeError = {
    error: 'access_denied',
    error_description: 'missing_codex_entitlement',
  }
  const { result, address } = await begin()

  await fetch(address)

  await expect(result).rejects.toThrow('switched off in your ChatGPT workspace')
})

test.each([
  (query: string) => `/auth/callback/../callback${query}`,
  (query: string) => `/auth/x/../callback${query}`,
  (query: string) => `/auth/%63allback${query}`,
  (query: string) => `/auth/%2e%2e/auth/callback${query}`,
  (query: string) => `//auth/callback${query}`,
  (query: string) => `/auth/callback/${query}`,
  (query: string) => `http://127.0.0.1/auth/callback${query}`,
])('only the path itself is the callback (%#)', async (pathOf) => {
  const signIn = await begin()

  const answer = await raw(signIn.address, { path: pathOf(signIn.address.search) })

  expect(answer.statusCode).toBe(404)
  await expectStillWaiting(signIn)
})

test('nothing in the address leads the browser elsewhere', async () => {
  const { result, address } = await begin()
  const tempting = changed(address, (query) => {
    query.set('redirect', 'https://evil.example')
    query.set('next', 'https://evil.example')
  })

  const answer = await fetch(tempting, { redirect: 'manual' })
  const page = await fetch(new URL(answer.headers.get('location') ?? '', address))
  await result

  expect(answer.headers.get('location')).toBe('/auth/result')
  expect(page.headers.get('location')).toBeNull()
  expect(await page.text()).not.toContain('evil.example')
})

test('slow and idle connections do not keep the browser out, and are closed', async () => {
  const about = { issuer: issuer.url, state: 's', requestTimeoutMs: 300 }
  const server = await startCallbackServer({ ...about, ports: [0] })
  const { port } = new URL(server?.redirectUri ?? '')
  const sockets: Socket[] = Array.from({ length: 300 }, () => connect(Number(port), '127.0.0.1'))
  const closed = sockets.map((socket) => {
    socket.on('error', () => {})
    socket.resume()
    return once(socket, 'close')
  })
  for (const socket of sockets.slice(0, 20)) socket.write('GET /auth')

  const answer = await fetch(`http://127.0.0.1:${port}/auth/callback?code=x`)
  await Promise.all(closed)

  expect(answer.status).toBe(400)
  await server?.close()
})

test('the second port is used when the first is taken', async () => {
  const other = await occupy('127.0.0.1')
  const { result, address } = await begin({ ports: [other.port, 0] })

  expect(Number(address.port)).not.toBe(other.port)
  await fetch(address)
  await result
  expect(other.server.listening).toBe(true)
  other.server.close()
})

test('when all ports are taken, they are named, and what to do', async () => {
  const [one, two] = [await occupy('127.0.0.1'), await occupy('127.0.0.1')]

  const signIn = signInWithBrowser({
    issuer: issuer.url,
    openUrl: async () => {},
    say: (line) => said.push(line),
    save: async () => {},
    ports: [one.port, two.port],
  })

  await expect(signIn).rejects.toMatchObject({
    code: 'sign-in-failed',
    message: expect.stringContaining(`port ${one.port} or ${two.port}`),
  })
  expect(said).toEqual([])
  for (const { server } of [one, two]) server.close()
})

test('a port that somebody holds in the other family is taken', async (context) => {
  const other = await occupy('::1').catch(() => undefined)
  if (!other) return context.skip('no IPv6 here')

  const about = { issuer: issuer.url, state: 's' }
  const server = await startCallbackServer({ ...about, ports: [other.port, 0] })

  expect(Number(new URL(server?.redirectUri ?? '').port)).not.toBe(other.port)
  await server?.close()
  other.server.close()
})

test('both families lead to us', async (context) => {
  const probe = await occupy('::1').catch(() => undefined)
  if (!probe) return context.skip('no IPv6 here')
  probe.server.close()
  const { result, address } = await begin()

  address.hostname = '[::1]'
  expect((await fetch(address)).status).toBe(200)
  await result
})

async function occupy(host: string) {
  const server = createServer()
  server.listen(0, host)
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

test('what browsers fetch by themselves has no effect', async () => {
  const signIn = await begin()

  const favicon = await fetch(new URL('/favicon.ico', signIn.address))
  const prefetch = await fetch(signIn.address, { headers: { 'sec-purpose': 'prefetch' } })

  expect([favicon.status, prefetch.status]).toEqual([404, 503])
  await expectStillWaiting(signIn)
})

test('a port held by our own other sign-in is left to it', async () => {
  const first = await begin()

  const second = await begin({ ports: [Number(first.address.port), 0] })

  expect(second.address.port).not.toBe(first.address.port)
  await fetch(second.address)
  await second.result
  await fetch(first.address)
  await first.result
  expect(issuer.counts.exchange).toBe(2)
})

test('a sign-in that nobody finishes ends, and its port is closed', async () => {
  const { result, address } = await begin({ lifetimeMs: 50 })

  await expect(result).rejects.toThrow('Nobody signed in within')
  await expect(fetch(address)).rejects.toThrow()
  expect(issuer.counts.exchange).toBe(0)
})

test('a sign-in can be stopped, and its port is closed', async () => {
  const stop = new AbortController()
  const { result, address } = await begin({ signal: stop.signal })

  stop.abort()

  await expect(result).rejects.toMatchObject({ code: 'sign-in-failed' })
  await expect(fetch(address)).rejects.toThrow()
})

test('a sign-in can be stopped while the service is asked for the tokens', async () => {
  const stop = new AbortController()
  issuer.exchangeReplies = ['hang']
  const { result, address } = await begin({ signal: stop.signal })
  const asked = issuer.nextTokenRequest()
  fetch(address).catch(() => {})
  await asked

  stop.abort()

  await expect(result).rejects.toThrow('stopped. Nothing was changed')
  expect(saved).toEqual([])
})

const bad: [string, Reply][] = [
  ['400 invalid_grant', { status: 400, json: { error: 'invalid_grant' } }],
  ['500', { status: 500, text: 'canary-body' }],
  ['HTML', { status: 200, text: '<html>canary-body' }],
  ['nothing', { status: 200, text: '' }],
  ['10 MB', { status: 200, text: 'x'.repeat(10 * 1024 * 1024) }],
  ['no refresh token', { status: 200, json: { access_token: 'canary-a', id_token: 'canary-i' } }],
]
test.each(bad)('the token endpoint answers with %s: said, not quoted', async (_, reply) => {
  issuer.exchangeReplies = [reply]
  const { result, address } = await begin()

  const page = await fetch(address)

  const error = await result.catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'sign-in-failed' })
  const shown = [await page.text(), inspect(error, { depth: 20, showHidden: true }), ...said].join()
  expect(page.status).toBe(400)
  expect(shown).toContain('did not succeed')
  for (const secret of [...issuer.secrets, 'canary']) expect(shown).not.toContain(secret)
  expect(saved).toEqual([])
  expect(issuer.counts.exchange).toBe(1)
})

test('a token endpoint that never answers is given up', async () => {
  issuer.exchangeReplies = ['hang']
  const { result, address } = await begin({ timeoutMs: 100 })

  const page = await fetch(address)

  await expect(result).rejects.toMatchObject({ code: 'sign-in-failed' })
  expect(await page.text()).toContain('Took longer than 0.1 s')
  expect(issuer.counts.exchange).toBe(1)
})

const part = (text: string) => Buffer.from(text).toString('base64url')
const claims = (json: string) => `${part('{"alg":"none"}')}.${part(json)}.`
test.each([
  ['has two parts', `${part('{}')}.${part('{}')}`],
  ['is no base64', '!!.%%.??'],
  ['is no JSON', `${part('{}')}.${part('{"torn')}.x`],
  ['is huge', claims(`{"x":"${'y'.repeat(500_000)}"}`)],
  ['names no account', claims('{"email":"ada@example.com"}')],
  ['has claims of the wrong type', claims('{"https://api.openai.com/auth":"x","email":7}')],
  ['is an array', claims('[1]')],
  [
    'tries to become a prototype',
    claims(
      '{"__proto__":{"polluted":"yes"},"https://api.openai.com/auth":{"__proto__":{"chatgpt_account_id":"evil"}}}',
    ),
  ],
])('an id token that %s names no account and does no harm', async (_, id_token) => {
  issuer.exchangeReplies = [{ status: 200, json: { ...issuer.grant(), id_token } }]
  const { result, address } = await begin()

  await fetch(address)
  const tokens = await result

  expect(tokens.account_id).toBeUndefined()
  expect(({} as Record<string, unknown>).polluted).toBeUndefined()
})

test('no redirect takes the code to another host', async () => {
  let visits = 0
  const other = createHttpServer((_, response) => {
    visits++
    response.end()
  })
  other.listen(0, '127.0.0.1')
  await once(other, 'listening')
  const location = `http://127.0.0.1:${(other.address() as AddressInfo).port}/oauth/token`
  issuer.exchangeReplies = [{ status: 307, headers: { location } }]
  const { result, address } = await begin()

  await fetch(address)

  await expect(result).rejects.toMatchObject({ code: 'sign-in-failed' })
  expect(visits).toBe(0)
  other.close()
})

test('no page can cancel a sign-in', async () => {
  const signIn = await begin()

  const answer = await fetch(new URL('/cancel', signIn.address))

  expect(answer.status).toBe(404)
  await expectStillWaiting(signIn)
})

test('a sign-in that cannot be saved is not shown as one', async () => {
  const { result, address } = await begin({ save: () => Promise.reject(new Error('disk full')) })

  const page = await fetch(address)

  await expect(result).rejects.toThrow('disk full')
  expect(page.status).toBe(400)
})

test('neither what is said nor the page holds a token, a code or a verifier', async () => {
  const { result, address } = await begin()

  const page = await (await fetch(address)).text()
  await result

  const shown = [page, ...said].join()
  expect(issuer.secrets.size).toBeGreaterThan(4)
  for (const secret of issuer.secrets) expect(shown).not.toContain(secret)
})
