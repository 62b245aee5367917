import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { postRefresh } from '../../host/auth/renewal/refresh.ts'
import { renewUnderLock } from '../../host/auth/renewal/renew.ts'
import { usableTokens } from '../../host/auth/renewal/usable-tokens.ts'
import { codexAuthFile, readCodexSignIn } from '../../host/auth/sign-in/codex-import.ts'
import type { Ask } from '../../host/auth/sign-in/prompt.ts'
import { type SignInOptions, signIn } from '../../host/auth/sign-in/sign-in.ts'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import { actAsBrowser } from '../fakes/browser.ts'
import { type FakeIssuer, type Grant, startFakeIssuer, unsignedJwt } from '../fakes/issuer.ts'
import { someTokens } from '../fakes/some-tokens.ts'

const NOW = Date.UTC(2026, 10, 21)

let issuer: FakeIssuer
let folder: string
let file: string
let said: string[]
let grant: Grant

beforeEach(async () => {
  issuer = await startFakeIssuer()
  folder = mkdtempSync(join(tmpdir(), 'codexbox-import-'))
  file = join(folder, 'auth.json')
  said = []
  grant = issuer.grant()
})

afterEach(async () => {
  vi.unstubAllEnvs()
  await issuer.close()
  rmSync(folder, { recursive: true, force: true })
})

/** The file as the official client writes it. */
const authFile = (about: Record<string, unknown> = {}, tokens: Record<string, unknown> = {}) => ({
  auth_mode: 'chatgpt',
  OPENAI_API_KEY: 'sk-canary-key',
  tokens: {
    ...grant,
    oauth_provenance: { issuer: 'https://auth.openai.com', client_id: 'app' },
    login_owner_id: 'canary-owner',
    account_id: 'account-1',
    ...tokens,
  },
  last_refresh: '2026-11-20T16:18:43.467962846Z',
  ...about,
})

const put = (content: unknown) =>
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))

const importing = (about: Partial<SignInOptions> = {}) =>
  signIn({
    config: { dataDir: join(folder, 'data'), authIssuer: issuer.url },
    say: (line) => said.push(line),
    surroundings: { env: { CODEX_HOME: folder }, platform: 'linux', isTerminal: false },
    ports: [0],
    openUrl: actAsBrowser,
    ask: () => {
      throw new Error('nothing may be asked')
    },
    ...about,
  })

test('the file is that of CODEX_HOME, else in the home folder', () => {
  expect(codexAuthFile({ CODEX_HOME: '/x' })).toBe('/x/auth.json')
  expect(codexAuthFile({ CODEX_HOME: '' })).toMatch(/[^/]\/\.codex\/auth\.json$/)
})

test('a sign-in of Codex becomes ours, with a warning and without a request', async () => {
  put(authFile())

  const tokens = await importing({ way: 'import' })

  expect(tokens).toMatchObject({ ...grant, account_id: 'account-1', email: 'ada@example.com' })
  expect(await fileTokenStore(join(folder, 'data')).read()).toEqual(tokens)
  expect(said.join()).toMatch(/whoever renews second is signed out/)
  expect(issuer.requests).toEqual([])
})

test('where a sign-in was imported from is known until there is an own one', async () => {
  put(authFile())
  const store = fileTokenStore(join(folder, 'data'))
  await importing({ way: 'import' })
  const imported = await store.read()
  const renew = renewUnderLock({ store, issuer: issuer.url })

  await renew({ accessToken: imported?.access_token ?? '', wasRejected: true })
  const renewed = await store.read()
  issuer.device.approved = true
  await importing({ way: 'device' })

  expect(imported?.imported_from).toBe(file)
  expect(renewed?.access_token).not.toBe(imported?.access_token)
  expect(renewed?.imported_from).toBe(file)
  expect(await store.read()).not.toHaveProperty('imported_from')
})

test('an imported sign-in that Codex has renewed names Codex and its file', async () => {
  put(authFile())
  await importing({ way: 'import' })
  await renewAsCodex(grant.refresh_token)

  const error = await ask().catch((thrown: unknown) => thrown)

  expect(error).toMatchObject({
    code: 'not-signed-in',
    message: expect.stringMatching(/The Codex CLI, .* imported from, has used .*codex-auth/),
  })
  expect(String(error)).toContain(file)
})

test('a sign-in shared in another way names Codex if that has one of the same account', async () => {
  put(authFile())
  const store = fileTokenStore(join(folder, 'data'))
  await store.replace(someTokens(grant))
  await renewAsCodex(grant.refresh_token)
  vi.stubEnv('CODEX_HOME', folder)

  await expect(ask()).rejects.toThrow('most likely the Codex CLI, which has one of the same')
  await expect(ask()).rejects.toThrow(file)
  put(authFile({}, { account_id: undefined, id_token: otherAccount }))
  await expect(ask()).rejects.toThrow('(the Codex CLI or an editor extension)')
  rmSync(file)
  await expect(ask()).rejects.toThrow('(the Codex CLI or an editor extension)')
})

/** What the official client does with the token it shares with us. */
async function renewAsCodex(refreshToken: string) {
  const reply = await postRefresh({ issuer: issuer.url, refreshToken, reason: 'proactive_expiry' })
  expect(reply.status).toBe(200)
}

/** As a run does whose access token was refused. */
async function ask() {
  const store = fileTokenStore(join(folder, 'data'))
  const rejected = (await store.read())?.access_token
  await usableTokens({ store, renew: renewUnderLock({ store, issuer: issuer.url }) })(rejected)
}

test('the file of Codex stays as it is, byte for byte', async () => {
  put(authFile())
  const { mtimeMs, ctimeMs, ino } = statSync(file)
  const before = readFileSync(file, 'utf8')

  await importing({ way: 'import' })

  expect(statSync(file)).toMatchObject({ mtimeMs, ctimeMs, ino })
  expect(readFileSync(file, 'utf8')).toBe(before)
})

test('a file from before the newest fields is taken as well', () => {
  put({ OPENAI_API_KEY: null, tokens: grant })

  expect(readCodexSignIn(file, NOW)).toMatchObject({ account_id: 'account-1', last_refresh: NOW })
})

test('claims in the place of the id token are passed over', () => {
  put(authFile({}, { id_token: { email: 'x' } }))

  expect(readCodexSignIn(file, NOW)).toMatchObject({ account_id: 'account-1' })
})

test('a token that does not say when it ends is as old as its last renewal', () => {
  put(authFile({ last_refresh: '2026-11-11T00:00:00.000000000Z' }, { access_token: 'opaque' }))

  expect(readCodexSignIn(file, NOW).expires_at).toBeLessThan(NOW)
})

const noRefresh = { tokens: { access_token: 'canary-a', id_token: 'canary-i' } }
const otherAccount = unsignedJwt({
  'https://api.openai.com/auth': { chatgpt_account_id: 'canary-other' },
})
test.each<[string, unknown, RegExp]>([
  ['is missing', undefined, /no such file/],
  ['is not JSON', '{"tokens": canary', /not JSON/],
  ['is empty', '', /not JSON/],
  ['is an array', [], /does not look like/],
  ['is null', null, /does not look like/],
  [
    'holds an API key',
    { auth_mode: 'apikey', OPENAI_API_KEY: 'sk-canary' },
    /AGENT_PROVIDER=openai/,
  ],
  ['holds only a key', { OPENAI_API_KEY: 'sk-canary', tokens: null }, /AGENT_PROVIDER=openai/],
  ['is of another kind', { auth_mode: 'agent_identity', tokens: {} }, /another kind/],
  ['has no tokens', { auth_mode: 'chatgpt', OPENAI_API_KEY: null }, /no access token/],
  ['has no refresh token', noRefresh, /no refresh token/],
  [
    'has an empty refresh token',
    { tokens: { access_token: 'a', refresh_token: '' } },
    /no refresh/,
  ],
  [
    'has a number for a token',
    { tokens: { access_token: 7, refresh_token: 'r' } },
    /no access token/,
  ],
])('a file that %s is refused in plain words', async (_, content, why) => {
  if (content !== undefined) put(content)

  const error = await importing({ way: 'import' }).catch((thrown: unknown) => thrown)

  expect(error).toMatchObject({ code: 'sign-in-failed', message: expect.stringMatching(why) })
  expect(String(error)).toContain(file)
  expect(String(error)).not.toContain('canary')
  expect(await fileTokenStore(join(folder, 'data')).read()).toBeUndefined()
})

test('a file whose parts belong to different accounts is refused', () => {
  put(authFile({}, { id_token: otherAccount }))

  expect(() => readCodexSignIn(file, NOW)).toThrow('different accounts')
})

test('a folder or a huge file in its place is refused', () => {
  expect(() => readCodexSignIn(folder, NOW)).toThrow('not a regular file')
  writeFileSync(file, ' '.repeat(1024 * 1024 + 1))
  expect(() => readCodexSignIn(file, NOW)).toThrow('larger than 1 MB')
})

const interactive = () => ({
  surroundings: {
    env: { CODEX_HOME: folder },
    platform: 'darwin',
    isTerminal: true,
  } as const,
})

/** Answers the first question; whatever else is asked gets no answer. */
const answering = (answer: string): Ask => {
  let isFirst = true
  return async function* (_, signal) {
    if (isFirst) {
      isFirst = false
      yield answer
    } else if (!signal.aborted) {
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    }
  }
}

test('a person at a terminal is offered the choice, and an own sign-in is the default', async () => {
  put(authFile())

  const tokens = await importing({ ...interactive(), ask: answering('') })

  expect(said[0]).toContain('a…@example.com')
  expect(said[0]).toMatch(/an own one is better.*whoever renews second/)
  expect(tokens.refresh_token).not.toBe(grant.refresh_token)
  expect(issuer.counts.exchange).toBe(1)
})

test('a person at a terminal may choose to import', async () => {
  put(authFile())

  const tokens = await importing({ ...interactive(), ask: answering('i') })

  expect(tokens.refresh_token).toBe(grant.refresh_token)
})

test('whoever stops at that question is not sent to a browser', async () => {
  put(authFile())
  const stop = new AbortController()
  const ask: Ask = async function* () {
    stop.abort()
    yield* []
  }

  const stopping = importing({ ...interactive(), ask, signal: stop.signal })

  await expect(stopping).rejects.toThrow('stopped. Nothing was changed')
  expect(issuer.requests).toEqual([])
})

test('without anything to import, or without a terminal, nobody is asked', async () => {
  await importing({ ...interactive(), ask: answering('i') })
  put(authFile())
  issuer.device.approved = true

  await importing()

  expect(issuer.counts.exchange).toBe(2)
  expect(said.join()).not.toContain('imported')
})

test('nothing it says holds a token', async () => {
  put(authFile())

  await importing({ way: 'import' })

  for (const secret of [...issuer.secrets, 'canary']) expect(said.join()).not.toContain(secret)
})
