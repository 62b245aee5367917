import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Ask } from '../../host/auth/sign-in/prompt.ts'
import type { Surroundings } from '../../host/auth/sign-in/sign-in.ts'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import type { Tokens } from '../../host/auth/tokens.ts'
import { readConfig } from '../../host/config.ts'
import { codexAuthStep, createCodexAuthStep } from '../../setup/steps/codex-auth.ts'
import { actAsBrowser } from '../fakes/browser.ts'
import { type FakeIssuer, refusal, startFakeIssuer } from '../fakes/issuer.ts'
import { someTokens } from '../fakes/some-tokens.ts'

let dataDir: string
let issuer: FakeIssuer
let said: string[]
let surroundings: Surroundings

beforeEach(async () => {
  surroundings = { env: {}, platform: 'darwin', isTerminal: false }
  dataDir = mkdtempSync(join(tmpdir(), 'codexbox-step-'))
  issuer = await startFakeIssuer()
  said = []
})

afterEach(async () => {
  await issuer.close()
  rmSync(dataDir, { recursive: true, force: true })
})

const run = (...args: string[]) => {
  const config = readConfig(
    { CODEX_DATA_DIR: dataDir, CODEX_AUTH_ISSUER: issuer.url.origin },
    dataDir,
  )
  const say = (line: string) => said.push(line)
  const openUrl = actAsBrowser
  const pause = async () => {
    issuer.device.approved = true
  }
  const parts = { openUrl, say, ports: [0], surroundings, pause, ask }
  return createCodexAuthStep(parts).run(args, config)
}

/** What a person does who is asked to paste the address. */
const ask: Ask = async function* () {
  const url =
    said
      .join('\n')
      .split('\n')
      .findLast((line) => line.startsWith('http')) ?? ''
  yield (await fetch(url, { redirect: 'manual' })).headers.get('location') ?? ''
}

const put = (about: Partial<Tokens> = {}) =>
  fileTokenStore(dataDir).replace(someTokens({ ...issuer.grant(), ...about }))

test('the step is called codex-auth', () => {
  expect(codexAuthStep.name).toBe('codex-auth')
})

test('the first time it signs in, the second time there is nothing to do', async () => {
  const first = await run()
  const second = await run()

  expect(first).toMatchObject({ status: 'done', fields: { AUTH_STATUS: 'authenticated' } })
  expect(second).toMatchObject({
    status: 'unchanged',
    fields: { AUTH_STATUS: 'already_authenticated' },
  })
  expect(issuer.counts.exchange).toBe(1)
})

test('a stale sign-in is renewed, not made anew', async () => {
  await put({ expires_at: 0 })

  expect(await run()).toMatchObject({ fields: { AUTH_STATUS: 'already_authenticated' } })
  expect(issuer.counts).toEqual({ authorize: 0, exchange: 0, refresh: 1 })
})

test.each([0, 4 * 60_000])(
  'a revoked sign-in is made anew, though %d ms of its token are left',
  async (left) => {
    await put({ expires_at: Date.now() + left })
    issuer.refreshReplies = [refusal('refresh_token_invalidated')]

    expect(await run()).toMatchObject({ fields: { AUTH_STATUS: 'authenticated' } })
    expect(issuer.counts).toEqual({ authorize: 1, exchange: 1, refresh: 1 })
  },
)

test('a sign-in known to be dead is made anew without asking again', async () => {
  await put({ dead: 'reused' })

  expect(await run()).toMatchObject({ fields: { AUTH_STATUS: 'authenticated' } })
  expect(issuer.counts.refresh).toBe(0)
})

test('a service that is away for now costs no sign-in', async () => {
  await put({ expires_at: 0 })
  issuer.refreshReplies = [{ status: 503 }]
  const before = readFileSync(join(dataDir, 'codex-tokens.json'), 'utf8')

  const result = await run()

  expect(result).toMatchObject({ status: 'failed', fields: { AUTH_STATUS: 'failed' } })
  expect(result.detail).toContain('503')
  expect(issuer.counts.authorize).toBe(0)
  expect(readFileSync(join(dataDir, 'codex-tokens.json'), 'utf8')).toBe(before)
})

test('a damaged file is set aside and said, and a sign-in takes its place', async () => {
  writeFileSync(join(dataDir, 'codex-tokens.json'), '{"torn')

  expect(await run()).toMatchObject({ fields: { AUTH_STATUS: 'authenticated' } })

  const aside = readdirSync(dataDir).find((name) => name.includes('.damaged-')) ?? 'none'
  expect(said[0]).toContain(`is now ${join(dataDir, aside)}.`)
  expect(readFileSync(join(dataDir, aside), 'utf8')).toBe('{"torn')
})

test('what is no file of ours is not set aside', async () => {
  mkdirSync(join(dataDir, 'codex-tokens.json'))

  expect(await run()).toMatchObject({ status: 'failed' })
  expect(readdirSync(dataDir)).toEqual(['codex-tokens.json'])
})

test('--force signs in anew, also over a damaged file', async () => {
  writeFileSync(join(dataDir, 'codex-tokens.json'), '{"torn')

  expect(await run('--force')).toMatchObject({ fields: { AUTH_STATUS: 'authenticated' } })
  expect(said.join('\n')).toMatch(/was damaged; its file is now .*\.damaged-/)
  expect(await run('--force')).toMatchObject({ fields: { AUTH_STATUS: 'authenticated' } })
  expect(issuer.counts.exchange).toBe(2)
})

test('--check only reports', async () => {
  expect(await run('--check')).toMatchObject({
    status: 'failed',
    fields: { AUTH_STATUS: 'failed' },
  })
  await put({ expires_at: 0 })
  expect(await run('--check')).toMatchObject({ fields: { AUTH_STATUS: 'already_authenticated' } })
  await put({ dead: 'expired' })
  expect(await run('--check')).toMatchObject({
    status: 'failed',
    detail: expect.stringContaining('has expired'),
  })

  expect(issuer.counts).toEqual({ authorize: 0, exchange: 0, refresh: 0 })
})

test('a sign-in that the service refuses is a failure with a way on', async () => {
  issuer.authorizeError = { error: 'access_denied', error_description: 'You said no' }

  const result = await run()

  expect(result).toMatchObject({
    status: 'failed',
    fields: { AUTH_STATUS: 'failed' },
    detail: expect.stringContaining('You said no'),
    fix: expect.stringContaining('--step codex-auth [--device | --paste | --import]'),
  })
})

test('an argument that it does not know is named', async () => {
  expect(await run('--forse')).toMatchObject({
    status: 'failed',
    detail: expect.stringContaining('--forse'),
  })
})

test.each([
  ['--device', 'ABCD-12345'],
  ['--paste', 'http'],
])('%s takes that way, and then there is nothing to do', async (flag, shown) => {
  expect(await run(flag)).toMatchObject({ fields: { AUTH_STATUS: 'authenticated' } })
  expect(said.join('\n')).toContain(shown)
  expect(await run(flag)).toMatchObject({ fields: { AUTH_STATUS: 'already_authenticated' } })
  expect(await run(flag, '--force')).toMatchObject({ fields: { AUTH_STATUS: 'authenticated' } })
  expect(issuer.counts.exchange).toBe(2)
})

test('--import takes the sign-in of Codex, asks nothing and needs no terminal', async () => {
  const home = mkdtempSync(join(dataDir, 'codex-'))
  writeFileSync(join(home, 'auth.json'), JSON.stringify({ tokens: issuer.grant() }))
  surroundings = { env: { CODEX_HOME: home }, platform: 'linux', isTerminal: false }

  expect(await run('--import')).toMatchObject({ fields: { AUTH_STATUS: 'authenticated' } })
  expect(said.join()).toContain('whoever renews second')
  expect(issuer.requests).toEqual([])
})

test('without a display it signs in with a code for another device', async () => {
  surroundings = { env: {}, platform: 'linux', isTerminal: false }

  expect(await run()).toMatchObject({ fields: { AUTH_STATUS: 'authenticated' } })
  expect(said.join()).toContain('ABCD-12345')
})

test('two ways at once are one too many', async () => {
  expect(await run('--device', '--paste')).toMatchObject({ status: 'failed' })
  expect(issuer.requests).toEqual([])
})

test('nothing it says or returns holds a token', async () => {
  const shown = JSON.stringify([await run(), await run(), await run('--check'), said])

  for (const secret of issuer.secrets) expect(shown).not.toContain(secret)
})
