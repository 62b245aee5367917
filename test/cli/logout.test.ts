import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { signOut } from '../../host/auth/sign-out.ts'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import type { Tokens } from '../../host/auth/tokens.ts'
import { type FakeIssuer, type Reply, startFakeIssuer } from '../fakes/issuer.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { type Home, openHome } from './cli-process.ts'

let issuer: FakeIssuer
let home: Home
let dataDir: string

beforeEach(async () => {
  issuer = await startFakeIssuer()
  home = openHome()
  dataDir = home.dataDir
})

afterEach(async () => {
  await issuer.close()
  home.clear()
})

const store = () => fileTokenStore(dataDir)

async function put(about: Partial<Tokens> = {}): Promise<Tokens> {
  const tokens = someTokens({ ...issuer.grant(), ...about })
  await store().replace(tokens)
  return tokens
}

const leave = () => signOut({ store: store(), issuer: issuer.url, timeoutMs: 200 })

test('signing out revokes the refresh token and removes the file', async () => {
  const { refresh_token } = await put()

  expect(await leave()).toEqual({ status: 'revoked' })

  expect(issuer.requests).toHaveLength(1)
  expect(JSON.parse(issuer.requests[0]?.body ?? '')).toEqual({
    token: refresh_token,
    token_type_hint: 'refresh_token',
    client_id: 'app_EMoamEEZ73f0CkXaXp7hrann',
  })
  expect(await store().read()).toBeUndefined()
  expect(readdirSync(dataDir)).toEqual([])
})

test('signing out during a renewal waits for it, and revokes what it brought', async () => {
  const before = await put()
  const after = { ...before, ...issuer.grant() }
  let answer: () => void = () => {}
  const answered = new Promise<void>((resolve) => {
    answer = resolve
  })
  let isUnderWay: () => void = () => {}
  const underWay = new Promise<void>((resolve) => {
    isUnderWay = resolve
  })
  const renewal = store().update(async () => {
    isUnderWay()
    await answered
    return after
  })
  await underWay

  const left = leave()
  answer()
  await renewal

  expect(await left).toEqual({ status: 'revoked' })
  expect(issuer.requests.map(({ body }) => JSON.parse(body).token)).toEqual([after.refresh_token])
  expect(await store().read()).toBeUndefined()
})

test.each<[string, Reply, RegExp]>([
  ['is in trouble', { status: 503 }, /status 503/],
  ['says no', { status: 400, json: { error: 'canary' } }, /status 400/],
  ['cannot be reached', 'cut', /Asked http/],
  ['does not answer', 'hang', /Took longer/],
])('a service that %s keeps nobody signed in, and is named', async (_, reply, why) => {
  await put()
  issuer.revokeReplies = [reply]

  const result = await leave()

  expect(result).toEqual({ status: 'not-revoked', why: expect.stringMatching(why) })
  expect(await store().read()).toBeUndefined()
})

test('a sign-in that the service gave up is not revoked once more', async () => {
  await put({ dead: 'revoked' })

  expect(await leave()).toEqual({ status: 'revoked' })
  expect(issuer.requests).toEqual([])
})

test('where nobody is signed in, nothing is made', async () => {
  expect(await leave()).toEqual({ status: 'nobody' })
  expect(existsSync(dataDir)).toBe(false)
})

test('a damaged file is removed too', async () => {
  mkdirSync(dataDir)
  writeFileSync(join(dataDir, 'codex-tokens.json'), '{"torn')

  expect(await leave()).toMatchObject({ status: 'not-revoked' })
  expect(await store().read()).toBeUndefined()
})

test('codexbox logout says what it did, and the second time that nobody is signed in', async () => {
  await put()
  const env = { CODEX_AUTH_ISSUER: issuer.url.origin }

  const first = await home.run(['logout'], { env })
  const second = await home.run(['logout'], { env })

  expect([first.code, second.code]).toEqual([0, 0])
  expect(first.stderr).toContain('revoked and removed')
  expect(second.stderr).toContain('Nobody is signed in')
})

test('codexbox logout says what is left to do when nothing could be revoked', async () => {
  await put()
  issuer.revokeReplies = [{ status: 500 }]
  const env = { CODEX_AUTH_ISSUER: issuer.url.origin }

  const { code, stderr } = await home.run(['logout'], { env })

  expect(code).toBe(0)
  expect(stderr).toMatch(/removed.*could not be revoked.*status 500.*log out of all devices/)
  for (const secret of issuer.secrets) expect(stderr).not.toContain(secret)
})
