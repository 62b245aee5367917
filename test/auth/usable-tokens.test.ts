import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { renewUnderLock } from '../../host/auth/renewal/renew.ts'
import { usableTokens } from '../../host/auth/renewal/usable-tokens.ts'
import { fileTokenStore, type TokenStore } from '../../host/auth/token-store.ts'
import type { Tokens } from '../../host/auth/tokens.ts'
import { failure } from '../failure.ts'
import { type FakeIssuer, type Reply, refusal, startFakeIssuer } from '../fakes/issuer.ts'
import { someTokens } from '../fakes/some-tokens.ts'

const MINUTE = 60_000

let dataDir: string
let store: TokenStore
let issuer: FakeIssuer

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'codexbox-access-'))
  store = fileTokenStore(dataDir)
  issuer = await startFakeIssuer()
})

afterEach(async () => {
  await issuer.close()
  rmSync(dataDir, { recursive: true, force: true })
})

const source = (about: { now?: () => number; timeoutMs?: number } = {}) =>
  usableTokens({ store, renew: renewUnderLock({ store, issuer: issuer.url, ...about }), ...about })

/** Stores a sign-in that the issuer knows; `leftMs` of its access token are left. */
async function signedIn(leftMs: number, about: Partial<Tokens> = {}): Promise<Tokens> {
  const tokens = someTokens({ ...issuer.grant(), expires_at: Date.now() + leftMs, ...about })
  await store.replace(tokens)
  return tokens
}

const fileText = () => readFileSync(join(dataDir, 'codex-tokens.json'), 'utf8')

test('a fresh token is given out without asking anybody', async () => {
  const { access_token } = await signedIn(6 * MINUTE)

  expect((await source()()).access_token).toBe(access_token)
  expect(issuer.counts.refresh).toBe(0)
})

test('a token that ends within five minutes is renewed and stored', async () => {
  const before = await signedIn(4 * MINUTE, { email: 'ada@example.com' })

  const after = await source()()

  expect(after.access_token).not.toBe(before.access_token)
  expect(after.refresh_token).not.toBe(before.refresh_token)
  expect(after.expires_at).toBeGreaterThan(Date.now() + 50 * MINUTE)
  expect(await store.read()).toEqual(after)
})

test('the refresh is the JSON of the official client, under our own name', async () => {
  const { refresh_token } = await signedIn(0)

  await source()()

  const [request] = issuer.tokenRequests
  expect(Object.entries(JSON.parse(request?.body ?? ''))).toEqual([
    ['client_id', 'app_EMoamEEZ73f0CkXaXp7hrann'],
    ['grant_type', 'refresh_token'],
    ['refresh_reason', 'proactive_expiry'],
    ['refresh_token', refresh_token],
  ])
  expect(request?.headers.originator).toBe('codexbox')
  expect(request?.headers['user-agent']).toMatch(/^codexbox\/\d/)
})

test('ten callers with a stale token cause one refresh', async () => {
  await signedIn(0)
  const tokens = source()

  const all = await Promise.all(Array.from({ length: 10 }, () => tokens()))

  expect(new Set(all.map(({ access_token }) => access_token)).size).toBe(1)
  expect(issuer.counts.refresh).toBe(1)
})

test('ten callers share one failure, too', async () => {
  await signedIn(-1)
  issuer.refreshReplies = [{ status: 503 }]
  const tokens = source()

  const errors = await Promise.all(Array.from({ length: 10 }, () => failure(tokens())))

  expect(new Set(errors).size).toBe(1)
  expect(issuer.counts.refresh).toBe(1)
})

test('a refused token is renewed though it looks fresh, and only once', async () => {
  const { access_token } = await signedIn(60 * MINUTE)
  const tokens = source()

  const all = await Promise.all(Array.from({ length: 10 }, () => tokens(access_token)))

  expect(all.map((each) => each.access_token)).not.toContain(access_token)
  expect(issuer.counts.refresh).toBe(1)
  expect(JSON.parse(issuer.tokenRequests[0]?.body ?? '').refresh_reason).toBe(
    'unauthorized_recovery',
  )
})

test('a refused token that somebody has already renewed is not renewed again', async () => {
  const { access_token } = await signedIn(60 * MINUTE)

  expect((await source()('an older token')).access_token).toBe(access_token)
  expect(issuer.counts.refresh).toBe(0)
})

test('a caller whose token was refused does not take it from a renewal that kept it', async () => {
  const { access_token } = await signedIn(4 * MINUTE)
  issuer.refreshReplies = [{ status: 503 }]
  const tokens = source()

  const [kept, renewed] = await Promise.all([tokens(), tokens(access_token)])

  expect(kept.access_token).toBe(access_token)
  expect(renewed.access_token).not.toBe(access_token)
})

test('an answer without a refresh token keeps the old one', async () => {
  const before = await signedIn(0)
  issuer.refreshReplies = [{ status: 200, json: { access_token: 'canary-opaque', expires_in: 60 } }]

  const after = await source()()

  expect(after.refresh_token).toBe(before.refresh_token)
  expect(after.account_id).toBe(before.account_id)
  expect(after.access_token).toBe('canary-opaque')
})

test('an answer for another account is refused, and the file is untouched', async () => {
  await signedIn(0)
  issuer.account = { ...issuer.account, id: 'account-2' }
  issuer.refreshReplies = [{ status: 200, json: issuer.grant() }]
  const before = fileText()

  await expect(source()()).rejects.toMatchObject({ code: 'refresh-failed' })

  expect(fileText()).toBe(before)
})

const permanent: [string, Reply][] = [
  ['expired', refusal('refresh_token_expired')],
  ['reused', refusal('refresh_token_reused')],
  ['revoked', refusal('Refresh_Token_Invalidated')],
  ['refused', { status: 400, json: { error: 'invalid_grant' } }],
  ['refused', { status: 401, json: { code: 'something_new' } }],
  ['refused', { status: 401, text: '<html>' }],
]
test.each(permanent)('%s for good: asked once, remembered, kept', async (dead, reply) => {
  const before = await signedIn(0)
  issuer.refreshReplies = [reply]
  const tokens = source()

  const errors = [await failure(tokens()), await failure(tokens()), await failure(source()())]

  for (const error of errors) {
    expect(error).toMatchObject({ code: 'not-signed-in' })
    expect((error as Error).message).toContain('codex-auth')
  }
  expect(issuer.counts.refresh).toBe(1)
  expect(await store.read()).toEqual({ ...before, dead })
})

const passing: [string, Reply][] = [
  ['500', { status: 500, json: { error: 'invalid_grant' } }],
  ['503', { status: 503, text: 'busy' }],
  ['429', { status: 429, headers: { 'retry-after': '1' } }],
  ['403 with a page', { status: 403, text: '<html>canary-page</html>' }],
  ['200 without tokens', { status: 200, json: {} }],
  ['200 that is no JSON', { status: 200, text: 'canary-text' }],
  ['200 and empty', { status: 200, text: '' }],
  ['200 and 10 MB', { status: 200, text: ' '.repeat(10 * 1024 * 1024) }],
  ['a redirect', { status: 307, headers: { location: 'http://127.0.0.1:9/oauth/token' } }],
  ['silence', 'hang'],
  ['a connection that is cut after the request', 'cut'],
]
test.each(passing)('%s is a failure for now, and nothing is lost', async (_, reply) => {
  await signedIn(-1)
  issuer.refreshReplies = [reply]
  const before = fileText()
  let now = Date.now()
  const tokens = source({ now: () => now, timeoutMs: 1_000 })

  const error = await failure(tokens())

  expect(error).toMatchObject({ code: 'refresh-failed' })
  expect(inspect(error, { depth: 20 })).not.toContain('canary')
  expect(fileText()).toBe(before)
  expect(await failure(tokens())).toBe(error)
  expect(issuer.counts.refresh).toBe(1)
  now += 5_000
  expect((await tokens()).access_token).toBeDefined()
})

test('an issuer that is away is a failure for now', async () => {
  await signedIn(-1)
  await issuer.close()

  await expect(source()()).rejects.toThrow('ECONNREFUSED')

  issuer = await startFakeIssuer()
})

test('a token that is still valid is used when it cannot be renewed, without a storm', async () => {
  const { access_token } = await signedIn(4 * MINUTE)
  issuer.refreshReplies = [{ status: 500 }]
  let now = Date.now()
  const tokens = source({ now: () => now })

  const early = [await tokens(), await tokens(), await tokens()]
  expect(issuer.counts.refresh).toBe(1)
  now += MINUTE
  const later = await tokens()

  expect(early.map((each) => each.access_token)).toEqual(Array(3).fill(access_token))
  expect(later.access_token).not.toBe(access_token)
})

test('a dead sign-in serves its access token to the end, unless that was refused', async () => {
  const { access_token } = await signedIn(60 * MINUTE, { dead: 'reused' })

  expect((await source()()).access_token).toBe(access_token)
  await expect(source()(access_token)).rejects.toMatchObject({ code: 'not-signed-in' })
  expect(issuer.counts.refresh).toBe(0)
})

test('an access token refused together with its refresh token is not given out again', async () => {
  const { access_token } = await signedIn(60 * MINUTE)
  issuer.refreshReplies = [refusal('refresh_token_invalidated')]
  await failure(source()(access_token))

  await expect(source()()).rejects.toMatchObject({ code: 'not-signed-in' })
})

test('by a clock that runs a day ahead, there is one refresh a minute', async () => {
  await signedIn(0)
  let now = Date.now() + 24 * 60 * MINUTE
  const tokens = source({ now: () => now })

  await tokens()
  await tokens()
  expect(issuer.counts.refresh).toBe(1)
  now += MINUTE
  await tokens()

  expect(issuer.counts.refresh).toBe(2)
})

test('by a clock that runs a day ahead, a second process does not renew either', async () => {
  await signedIn(0)
  const now = () => Date.now() + 24 * 60 * MINUTE

  const first = await source({ now })()
  const second = await source({ now })()

  expect(second).toEqual(first)
  expect(issuer.counts.refresh).toBe(1)
})

test('a clock that is set back by a day does not keep a failure for that long', async () => {
  await signedIn(2 * MINUTE)
  issuer.refreshReplies = [{ status: 503 }]
  let now = Date.now()
  const tokens = source({ now: () => now })
  const { access_token } = await tokens()
  now -= 24 * 60 * MINUTE

  expect((await tokens(access_token)).access_token).not.toBe(access_token)
})

test('a service that refuses whatever it gives out is not asked for more within a minute', async () => {
  const { access_token } = await signedIn(60 * MINUTE)
  let now = Date.now()
  const tokens = source({ now: () => now })
  const renewed = await tokens(access_token)

  for (let attempt = 0; attempt < 5; attempt++) {
    await expect(tokens(renewed.access_token)).rejects.toThrow('gave out a moment ago')
  }
  expect(issuer.counts.refresh).toBe(1)
  now += MINUTE
  await tokens(renewed.access_token)

  expect(issuer.counts.refresh).toBe(2)
})

test('a sign-out during a refresh wins', async () => {
  await signedIn(0)

  const asked = issuer.nextTokenRequest()
  const renewing = source()()
  await asked
  await store.remove()
  // Whether it still saw the new token depends on who was faster.
  await renewing.catch(() => {})

  expect(await store.read()).toBeUndefined()
  await expect(source()()).rejects.toMatchObject({ code: 'not-signed-in' })
})

test('no error says a token', async () => {
  const tokens = await signedIn(0)
  issuer.secrets.add(tokens.refresh_token)
  issuer.refreshReplies = [refusal('canary-code'), 'hang']

  const errors = [
    await failure(source({ timeoutMs: 200 })()),
    await failure(source({ timeoutMs: 200 })(tokens.access_token)),
  ]

  const said = inspect(errors, { depth: 20, showHidden: true })
  for (const secret of [...issuer.secrets, 'canary']) expect(said).not.toContain(secret)
})
