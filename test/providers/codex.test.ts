import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import type { Tokens } from '../../host/auth/tokens.ts'
import { codexProvider } from '../../host/providers/codex.ts'
import type { ProviderPlugin } from '../../host/providers/provider.ts'
import { actAsBrowser } from '../fakes/browser.ts'
import { type FakeIssuer, refusal, startFakeIssuer } from '../fakes/issuer.ts'
import { someTokens } from '../fakes/some-tokens.ts'

let dataDir: string
let issuer: FakeIssuer

beforeEach(async () => {
  dataDir = join(mkdtempSync(join(tmpdir(), 'codexbox-codex-')), 'data')
  issuer = await startFakeIssuer()
})

afterEach(async () => {
  await issuer.close()
  rmSync(join(dataDir, '..'), { recursive: true, force: true })
})

/** The issuer plays the service too. */
const provider = (basePath = '/backend-api/codex') =>
  codexProvider({
    config: { dataDir, authIssuer: issuer.url, codexBaseUrl: new URL(basePath, issuer.url) },
    serviceOrigin: issuer.url.origin,
    openUrl: actAsBrowser,
    say: () => {},
    ports: [0],
    surroundings: { env: {}, platform: 'darwin', isTerminal: false },
  })

const put = (about: Partial<Tokens> = {}) =>
  fileTokenStore(dataDir).replace(someTokens({ ...issuer.grant(), ...about }))

test('it has the five members that a host of plugins asks for', () => {
  const plugin: ProviderPlugin = provider()

  expect(plugin.name).toBe('codex')
  expect(plugin.getSecrets).toBeTypeOf('function')
  expect(plugin.isAuthenticated()).toBe(false)
  expect(plugin.setup).toBeTypeOf('function')
  expect(isAbsolute(plugin.containerProvider)).toBe(true)
})

test('after the set-up it has secrets for a container, and the refresh token is not among them', async () => {
  const plugin = provider()

  await plugin.setup()
  const secrets = await plugin.getSecrets()

  const stored = await fileTokenStore(dataDir).read()
  expect(plugin.isAuthenticated()).toBe(true)
  expect(secrets).toEqual({
    CODEX_ACCESS_TOKEN: stored?.access_token,
    CODEX_ACCOUNT_ID: 'account-1',
  })
  expect(statSync(join(dataDir, 'codex-tokens.json')).mode & 0o777).toBe(0o600)
  expect(statSync(dataDir).mode & 0o777).toBe(0o700)
})

test('without a sign-in it says how to sign in, and writes nothing', async () => {
  const plugin = provider()

  for (const attempt of [() => plugin.getSecrets(), () => plugin.connect()]) {
    await expect(attempt()).rejects.toMatchObject({
      code: 'not-signed-in',
      message: expect.stringContaining('--step codex-auth'),
    })
  }
  expect(existsSync(dataDir)).toBe(false)
})

test('a stale token is renewed for the next container', async () => {
  await put({ expires_at: 0 })

  const { CODEX_ACCESS_TOKEN } = await provider().getSecrets()

  expect(issuer.counts.refresh).toBe(1)
  expect(CODEX_ACCESS_TOKEN).toBe((await fileTokenStore(dataDir).read())?.access_token)
})

test('a sign-in with a stale token counts, one that the service gave up does not', async () => {
  const plugin = provider()
  await put({ expires_at: 0 })
  expect(plugin.isAuthenticated()).toBe(true)
  issuer.refreshReplies = [refusal('refresh_token_expired')]

  await expect(plugin.getSecrets()).rejects.toMatchObject({ code: 'not-signed-in' })

  expect(plugin.isAuthenticated()).toBe(false)
  await plugin.setup()
  expect(plugin.isAuthenticated()).toBe(true)
})

test('a damaged file is no sign-in, and a new one takes its place', async () => {
  const plugin = provider()
  await put()
  writeFileSync(join(dataDir, 'codex-tokens.json'), '{"torn')

  expect(plugin.isAuthenticated()).toBe(false)
  await expect(plugin.getSecrets()).rejects.toMatchObject({ code: 'tokens-invalid' })
  await plugin.setup()

  expect(plugin.isAuthenticated()).toBe(true)
  expect(readdirSync(dataDir)).toHaveLength(2)
})

test('no sign-in is begun that could not be saved', async () => {
  writeFileSync(dataDir, 'a file where the folder should be')

  await expect(provider().setup()).rejects.toMatchObject({ code: 'tokens-invalid' })

  expect(issuer.counts.authorize).toBe(0)
})

test.each(['/backend-api/codex', '/backend-api/codex/'])(
  'a connection says where the model is, who we are and whose it is (%s)',
  async (basePath) => {
    await put()

    const connection = await provider(basePath).connect()

    expect(connection.responsesUrl.href).toBe(`${issuer.url.origin}/backend-api/codex/responses`)
    expect(connection.headers).toEqual({
      originator: 'codexbox',
      'user-agent': expect.stringMatching(/^codexbox\/\d/),
      'x-codex-beta-features': 'remote_compaction_v2',
    })
    expect((await connection.settingsFor({})).model).toBe('gpt-6.2-sol')
    expect(connection.owner).toBe('codex:account-1')
    await connection.close()
  },
)

test('a connection replaces a token that the service refused', async () => {
  await put()
  const connection = await provider().connect()
  const before = await connection.getSecrets()

  const after = await connection.getSecrets(before.CODEX_ACCESS_TOKEN)

  expect(after.CODEX_ACCESS_TOKEN).not.toBe(before.CODEX_ACCESS_TOKEN)
  expect(after.CODEX_ACCOUNT_ID).toBe('account-1')
  expect(issuer.counts.refresh).toBe(1)
})

test('a connection does not go on under another account', async () => {
  const plugin = provider()
  await put()
  const connection = await plugin.connect()

  issuer.account = { ...issuer.account, id: 'account-2' }
  await plugin.setup()

  await expect(connection.getSecrets()).rejects.toThrow('Another account')
})
