import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { usableTokens } from '../../host/auth/access-token.ts'
import { renewApart } from '../../host/auth/renew-apart.ts'
import { fileTokenStore, type TokenStore } from '../../host/auth/token-store.ts'
import type { Tokens } from '../../host/auth/tokens.ts'
import { type FakeIssuer, refusal, startFakeIssuer } from '../fakes/issuer.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { renewalPid } from './renewal-entries.ts'
import type { TokenProcessOptions } from './token-process.ts'
import { type TokenProcesses, tokenProcesses } from './token-processes.ts'

let dataDir: string
let store: TokenStore
let issuer: FakeIssuer
let hosts: TokenProcesses

beforeAll(async () => {
  hosts = await tokenProcesses()
})
afterAll(() => hosts.remove())

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'codexbox-apart-'))
  store = fileTokenStore(dataDir)
  issuer = await startFakeIssuer()
})

afterEach(async () => {
  await issuer.close()
  await hosts.end()
  rmSync(dataDir, { recursive: true, force: true })
})

/** From source, with tsx. */
const ask = (rejected?: string) => {
  const renew = renewApart({ dataDir, issuer: issuer.url, timeoutMs: 1_000 })
  return usableTokens({ store, renew })(rejected)
}

async function signedIn(): Promise<Tokens> {
  const tokens = someTokens({ ...issuer.grant(), expires_at: 0 })
  await store.replace(tokens)
  return tokens
}

test('a renewal in a process of its own brings what one here would', async () => {
  const before = await signedIn()

  const after = await ask()
  const forced = await ask(after.access_token)

  expect(after.refresh_token).not.toBe(before.refresh_token)
  expect(forced.refresh_token).not.toBe(after.refresh_token)
  expect(await store.read()).toEqual(forced)
  const reasons = issuer.tokenRequests.map(({ body }) => JSON.parse(body).refresh_reason)
  expect(reasons).toEqual(['proactive_expiry', 'unauthorized_recovery'])
})

test('what goes wrong there is said here, with its code', async () => {
  await signedIn()
  issuer.refreshReplies = [{ status: 503 }, 'hang', refusal('refresh_token_expired')]

  for (const words of ['the answer was status 503', 'Took longer than 1 s']) {
    await expect(ask()).rejects.toMatchObject({
      code: 'refresh-failed',
      message: expect.stringContaining(words),
    })
  }
  await expect(ask()).rejects.toMatchObject({
    code: 'not-signed-in',
    message: expect.stringContaining('has expired'),
  })
})

test('a sign-out that was faster is no failure of the renewal', async () => {
  const renew = renewApart({ dataDir, issuer: issuer.url })

  await expect(renew({ accessToken: 'some', wasRejected: false })).rejects.toMatchObject({
    code: 'not-signed-in',
  })
})

/** A host that asks for a token for each line it is given, beginning with the first. */
async function host(about: Partial<TokenProcessOptions> = {}) {
  const started = hosts.start('ask', { dataDir, issuer: issuer.url.href, ...about })
  expect(await started.nextLine()).toBe('ready')
  const ask = () => {
    started.child.stdin.write('go\n')
    return started.nextLine()
  }
  return { ...started, ask }
}

/** A host that waits for the answer of a renewal; `answer` lets it come. */
async function renewing() {
  let answer = () => {}
  issuer.beforeRefreshAnswer = () =>
    new Promise((resolve) => {
      answer = resolve
    })
  const { child, ask } = await host()
  const asked = issuer.nextTokenRequest()
  const said = ask()
  await asked
  return { pid: child.pid ?? 0, child, said, answer: () => answer() }
}

test.each(['SIGKILL', 'SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  'T6: a host, and its group, that %s ends before the answer is here: it is stored all the same',
  async (signal) => {
    const before = await signedIn()
    const { pid, child, answer } = await renewing()
    const ended = once(child, 'exit')

    process.kill(-pid, signal)
    expect(await ended).toEqual([null, signal])
    answer()
    await hosts.idle()

    const after = await store.read()
    expect(after?.refresh_token).not.toBe(before.refresh_token)
    expect(await ask()).toEqual(after)
    expect(issuer.counts.refresh).toBe(1)
    // The next renewal clears up what the dead one left.
    issuer.beforeRefreshAnswer = undefined
    await ask(after?.access_token)
    expect(readdirSync(dataDir)).toEqual(['codex-tokens.json'])
  },
)

test('a renewal process that is asked to stop finishes first', async () => {
  await signedIn()
  const { said, answer } = await renewing()

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.kill(renewalPid(dataDir), signal)
  }
  answer()

  expect(await said).toBe(`token ${(await store.read())?.access_token}`)
})

test.skipIf(process.platform !== 'linux')(
  'no token is among the arguments and the environment of a renewal process',
  async () => {
    await signedIn()
    const { answer } = await renewing()

    const shown = ['cmdline', 'environ'].map((name) =>
      readFileSync(`/proc/${renewalPid(dataDir)}/${name}`, 'utf8'),
    )
    answer()

    expect(shown[0]).toContain(hosts.renewalFile)
    for (const secret of issuer.secrets) expect(shown.join()).not.toContain(secret)
  },
)

test('who has bundled us into one file is told which one is missing', async () => {
  await signedIn()
  const alone = await tokenProcesses()
  rmSync(alone.renewalFile)

  const { child, lines } = alone.start('ask', { dataDir, issuer: issuer.url.href })
  child.stdin.end('go\n')
  const said: string[] = []
  for await (const line of lines) said.push(line)
  alone.remove()

  expect(said[1]).toMatch(/^error internal /)
  expect(said[1]).toContain(`${alone.renewalFile} is missing`)
  expect(issuer.counts.refresh).toBe(0)
})
