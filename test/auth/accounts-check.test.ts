import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { accountRoute, accountsCheckUrl } from '../../host/auth/account-route.ts'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import { GATEWAY_PATH, openGateway } from '../../host/gateway/gateway.ts'
import { codexProvider } from '../../host/providers/codex.ts'
import { aModelRequest, someGatewayOptions } from '../fakes/gateway-options.ts'
import { type FakeIssuer, type Reply, startFakeIssuer } from '../fakes/issuer.ts'
import { someTokens } from '../fakes/some-tokens.ts'

let issuer: FakeIssuer
let dataDir: string
let waits: number[]

beforeEach(async () => {
  issuer = await startFakeIssuer()
  dataDir = mkdtempSync(join(tmpdir(), 'codexbox-accounts-'))
  waits = []
})

afterEach(async () => {
  await issuer.close()
  rmSync(dataDir, { recursive: true, force: true })
})

const base = () => new URL('/backend-api/codex', issuer.url)

const routing = (about: { isForeign?: boolean; timeoutMs?: number } = {}) =>
  accountRoute({
    codexBaseUrl: base(),
    timeoutMs: about.timeoutMs,
    pause: async (ms) => {
      waits.push(ms)
    },
    ...(about.isForeign ? {} : { serviceOrigin: issuer.url.origin }),
  })

const account = (about: Record<string, unknown> = {}) => ({
  id: 'account-1',
  plan_type: 'plus',
  workspace_backend_origin: 'NO_CONSTRAINT',
  account_routing_override: 'NO_CONSTRAINT',
  ...about,
})

const answer = (...accounts: unknown[]): Reply => ({ status: 200, json: { accounts } })

const checks = () => issuer.requests.filter(({ path }) => path.endsWith('/wham/accounts/check'))

test.each([
  ['https://chatgpt.com/backend-api/codex', 'https://chatgpt.com/backend-api/wham/accounts/check'],
  ['https://chatgpt.com/backend-api/codex/', 'https://chatgpt.com/backend-api/wham/accounts/check'],
  ['https://relay.example/v1', 'https://relay.example/v1/wham/accounts/check'],
  ['http://127.0.0.1:8080', 'http://127.0.0.1:8080/wham/accounts/check'],
])('the page about the workspaces of %s is %s', (baseUrl, url) => {
  expect(accountsCheckUrl(new URL(baseUrl)).href).toBe(url)
})

test('an account without constraints goes where it always goes', async () => {
  const route = await routing()(someTokens())

  expect(route).toEqual({ responsesUrl: new URL(`${base().href}/responses`), headers: {} })
})

test('it is asked with the token, the account and our own name', async () => {
  await routing()(someTokens())

  const [{ headers = [], method } = {}] = checks()
  expect(method).toBe('GET')
  const pairs = Object.fromEntries(
    headers.flatMap((name, at) => (at % 2 ? [] : [[name.toLowerCase(), headers[at + 1]]])),
  )
  expect(pairs).toMatchObject({
    'user-agent': expect.stringMatching(/^codexbox\//),
    authorization: 'Bearer canary-access-token',
    'chatgpt-account-id': 'account-1',
    accept: '*/*',
  })
  expect(pairs).not.toHaveProperty('originator')
})

test('the workspace decides where requests go and what they carry', async () => {
  issuer.accountsReplies = [
    answer(
      account({ id: 'another', workspace_backend_origin: 'https://eu.example' }),
      account({
        workspace_backend_origin: 'https://us.example',
        account_routing_override: 'us_cr',
      }),
    ),
  ]

  expect(await routing()(someTokens())).toEqual({
    responsesUrl: new URL('https://us.example/backend-api/codex/responses'),
    headers: { 'x-openai-account-routing-override': 'us_cr' },
  })
})

const origin = (workspace_backend_origin: unknown) => answer(account({ workspace_backend_origin }))
const override = (value: unknown) => answer(account({ account_routing_override: value }))
test.each<[string, Reply]>([
  ['no accounts', answer()],
  ['only others', answer(account({ id: 'another' }))],
  ['the account twice', answer(account(), account())],
  ['accounts in another form', { status: 200, json: { accounts: { 'account-1': account() } } }],
  ['HTML', { status: 200, text: '<html>canary' }],
  ['nothing', { status: 200, text: '' }],
  ['403', { status: 403, text: '<html>canary' }],
  ['404', { status: 404, json: { detail: 'canary' } }],
  ['a redirect', { status: 302, headers: { location: 'https://evil.example' } }],
  ['no origin', origin(undefined)],
  ['an origin over http', origin('http://us.example')],
  ['an origin with a path', origin('https://us.example/x')],
  ['an origin with a query', origin('https://us.example/?x')],
  ['an origin with a password', origin('https://a:b@us.example')],
  ['an origin that is none', origin('canary nonsense')],
  ['no override', override(undefined)],
  ['an unknown override', override('canary-eu')],
  ['an override that is a header', override('us\r\nx: canary')],
])('%s is an error with a name, and quotes nothing', async (_, reply) => {
  issuer.accountsReplies = [reply]

  const error = await routing()(someTokens()).catch((thrown: unknown) => thrown)

  expect(error).toMatchObject({ code: 'model-refused' })
  expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('canary')
  expect(checks()).toHaveLength(1)
})

test.each<[string, Reply]>([
  ['a cut line', 'cut'],
  ['503', { status: 503 }],
  ['429', { status: 429 }],
])('%s is tried again', async (_, reply) => {
  issuer.accountsReplies = [reply, reply]

  await routing()(someTokens())

  expect(checks()).toHaveLength(3)
  expect(waits).toEqual([500, 2000])
})

test('a service that stays away ends it, and the next call asks anew', async () => {
  issuer.accountsReplies = ['cut', 'cut', 'cut']
  const routeOf = routing()

  await expect(routeOf(someTokens())).rejects.toMatchObject({ code: 'model-unreachable' })

  await routeOf(someTokens())
  expect(checks()).toHaveLength(4)
})

test('a service that never answers is given up in time', async () => {
  issuer.accountsReplies = ['hang', 'hang', 'hang']

  await expect(routing({ timeoutMs: 100 })(someTokens())).rejects.toMatchObject({
    code: 'model-unreachable',
  })
})

test('it is asked once for a token, however many ask, and anew for the next', async () => {
  const routeOf = routing()

  await Promise.all([1, 2, 3].map(() => routeOf(someTokens())))
  await routeOf(someTokens())
  await routeOf(someTokens({ access_token: 'canary-next' }))

  expect(checks()).toHaveLength(2)
})

test('an account that is not known is not asked about', async () => {
  const { account_id: _, ...tokens } = someTokens()

  const route = await routing()(tokens)

  expect(route.responsesUrl.href).toBe(`${base().href}/responses`)
  expect(checks()).toEqual([])
})

test.each<[string, Reply]>([
  ['404', { status: 404 }],
  ['401', { status: 401 }],
  ['nonsense', { status: 200, text: 'x' }],
  ['a cut line', 'cut'],
  ['nothing at all', 'hang'],
])('at a base URL set by hand, %s does no harm', async (_, reply) => {
  issuer.accountsReplies = [reply]

  const route = await routing({ isForeign: true, timeoutMs: 200 })(someTokens())

  expect(route).toEqual({ responsesUrl: new URL(`${base().href}/responses`), headers: {} })
  expect(checks()).toHaveLength(1)
})

test('a base URL set by hand stays what it is; what requests have to carry is obeyed', async () => {
  issuer.accountsReplies = [
    answer(
      account({ workspace_backend_origin: 'https://us.example', account_routing_override: 'us' }),
    ),
  ]

  expect(await routing({ isForeign: true })(someTokens())).toEqual({
    responsesUrl: new URL(`${base().href}/responses`),
    headers: { 'x-openai-account-routing-override': 'us' },
  })
})

const provider = () =>
  codexProvider({
    config: { dataDir, authIssuer: issuer.url, codexBaseUrl: base() },
    serviceOrigin: issuer.url.origin,
  })

const put = () => fileTokenStore(dataDir).replace(someTokens(issuer.grant()))

test('a connection is routed before its first run and again after a renewal', async () => {
  await put()
  const us = account({
    workspace_backend_origin: 'https://us.example',
    account_routing_override: 'us',
  })
  issuer.accountsReplies = [answer(account()), answer(us)]

  const connection = await provider().connect()
  expect(connection.responsesUrl.origin).toBe(issuer.url.origin)
  const { CODEX_ACCESS_TOKEN } = await connection.getSecrets()
  expect(checks()).toHaveLength(1)
  await connection.getSecrets(CODEX_ACCESS_TOKEN)

  expect(checks()).toHaveLength(2)
  expect(connection.responsesUrl.href).toBe('https://us.example/backend-api/codex/responses')
  expect(connection.headers).toMatchObject({ 'x-openai-account-routing-override': 'us' })
})

test('what a container asks goes out with the routing of the newest token', async () => {
  await put()
  const us = account({ account_routing_override: 'us_cr' })
  issuer.accountsReplies = [answer(account()), answer(us)]
  const connection = await provider().connect()
  const gateway = await openGateway(connection, someGatewayOptions())
  const ask = async () => {
    const headers = { authorization: `Bearer ${gateway.grant('run')}` }
    const socketPath = join(gateway.socketFolder, 'gateway.sock')
    const request = httpRequest({ socketPath, path: GATEWAY_PATH, method: 'POST', headers })
    const [response] = await once(request.end(aModelRequest()), 'response')
    response.resume()
    return issuer.requests.findLast(({ path }) => path.endsWith('/responses'))?.headers ?? []
  }

  const before = await ask()
  await connection.getSecrets((await connection.getSecrets()).CODEX_ACCESS_TOKEN)
  const after = await ask()

  expect(before).not.toContain('x-openai-account-routing-override')
  expect(after[after.indexOf('x-openai-account-routing-override') + 1]).toBe('us_cr')
  await gateway.close()
})

test('a token refused here is renewed once, and then the check repeated', async () => {
  await put()
  issuer.accountsReplies = [{ status: 401 }]

  await provider().connect()

  expect(issuer.counts.refresh).toBe(1)
  expect(checks()).toHaveLength(2)
})

test('a token refused twice is an error, not a circle', async () => {
  await put()
  issuer.accountsReplies = [{ status: 401 }, { status: 401 }]

  await expect(provider().connect()).rejects.toMatchObject({ code: 'model-refused' })
  expect(issuer.counts.refresh).toBe(1)
})

test('no run is begun when the workspace forbids to know its place', async () => {
  await put()
  issuer.accountsReplies = [{ status: 403 }]

  await expect(provider().connect()).rejects.toThrow('status 403')
})
