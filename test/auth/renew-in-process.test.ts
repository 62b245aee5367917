import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { renewInProcess } from '../../host/auth/renewal/renew-in-process.ts'
import { TURN_MS, turnPath } from '../../host/auth/renewal/turn.ts'
import { usableTokens } from '../../host/auth/renewal/usable-tokens.ts'
import { keptRenewalProcess } from '../../host/auth/renewal/warm-process.ts'
import { fileTokenStore, type TokenStore } from '../../host/auth/token-store.ts'
import type { Tokens } from '../../host/auth/tokens.ts'
import { thisProcess } from '../../host/storage/process-identity.ts'
import { failure } from '../failure.ts'
import { type FakeIssuer, refusal, startFakeIssuer } from '../fakes/issuer.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { renewalPid } from './renewal-entries.ts'
import type { TokenProcessOptions } from './token-process.ts'
import { tokenProcesses } from './token-processes.ts'

const hosts = await tokenProcesses()

let dataDir: string
let store: TokenStore
let issuer: FakeIssuer

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

const file = () => join(dataDir, 'codex-tokens.json')

/** From source, with tsx. */
const ask = (rejected?: string) => {
  const renew = renewInProcess({ dataDir, issuer: issuer.url, timeoutMs: 1_000 })
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
  const renew = renewInProcess({ dataDir, issuer: issuer.url })

  await expect(renew({ accessToken: 'some', wasRejected: false })).rejects.toMatchObject({
    code: 'not-signed-in',
  })
})

type Host = Awaited<ReturnType<typeof host>>

/** A host; `ask` makes it ask for a token, and returns what it says to that. */
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
  'a host, and its group, that %s ends before the answer is here: it is stored all the same',
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

test('eight hosts that need a renewal at once ask for one, and start one process for it', async () => {
  await signedIn()
  const eight = await Promise.all(Array.from({ length: 8 }, () => host()))

  const said = await Promise.all(eight.map(({ ask }) => ask()))

  expect(said).toEqual(Array(8).fill(`token ${(await store.read())?.access_token}`))
  expect(issuer.counts.refresh).toBe(1)
  expect(hosts.renewalPids().length).toBe(1)
}, 60_000)

/** By this clock a token is due again at once. */
const HASTY = { clock: { since: Date.now(), speed: 1e6 } }

test('a process is kept for the next renewal, and ends with its host', async () => {
  await signedIn()
  const { child, ask: askHost } = await host(HASTY)

  await askHost()
  const [pid] = hosts.renewalPids()
  await askHost()

  expect(issuer.counts.refresh).toBe(2)
  expect(hosts.renewalPids()).toEqual([pid])
  // Neither keeps the other.
  const ended = once(child, 'exit')
  child.stdin.end()
  const since = performance.now()
  expect(await ended).toEqual([0, null])
  await hosts.idle()
  // Sooner than it would end by itself.
  expect(performance.now() - since).toBeLessThan(8_000)
})

test('a process that has rested for a while ends', async () => {
  const before = childPids()
  const carryOut = keptRenewalProcess({ idleMs: 50 })
  const order = { dataDir, issuer: issuer.url.href, accessToken: 'some', wasRejected: false }

  const [first, second] = await Promise.all([carryOut(order), carryOut(order)])

  for (const answer of [first, second]) {
    expect(answer).toMatchObject({ line: expect.stringContaining('not-signed-in') })
  }
  await vi.waitUntil(() => childPids().every((pid) => before.includes(pid)), WAIT)
})

test('a process that hangs is left alone, and replaced at the next renewal', async () => {
  const carryOut = keptRenewalProcess({ limitMs: 4_000 })
  const order = { dataDir, issuer: issuer.url.href, accessToken: 'some', wasRejected: false }
  const before = childPids()
  await carryOut(order)
  const [pid = 0] = childPids().filter((each) => !before.includes(each))
  process.kill(pid, 'SIGSTOP')

  const hung = await carryOut(order)
  const next = await carryOut(order)

  expect(hung).toEqual({ status: 'broken', end: `has not answered for 4 s (process ${pid})` })
  expect(next).toMatchObject({ line: expect.stringContaining('not-signed-in') })
  process.kill(pid, 'SIGCONT')
  await vi.waitUntil(() => !isThere(pid), WAIT)
})

/** As long as a busy machine may take. */
const WAIT = { timeout: 15_000 }

function childPids(): number[] {
  const lines = execFileSync('ps', ['-A', '-o', 'ppid=,pid=,args=']).toString().split('\n')
  const children = lines.filter((line) => Number.parseInt(line, 10) === process.pid)
  const renewals = children.filter((line) => line.includes('renewal-process'))
  return renewals.map((line) => Number(line.trim().split(/\s+/)[1]))
}

test.each([
  ['at rest', async ({ ask: askHost }: Host) => void (await askHost())],
  [
    'in the middle',
    async ({ ask: askHost }: Host) => {
      issuer.refreshReplies = ['hang']
      const asked = issuer.nextTokenRequest()
      const said = askHost()
      await asked
      await killed(renewalPid(dataDir))
      expect(await said).toMatch(/^error refresh-failed .* ended with SIGKILL. It is kept/)
    },
  ],
])('a process that was killed %s is replaced at the next renewal', async (_, before) => {
  await signedIn()
  const one = await host(HASTY)
  await before(one)
  for (const pid of hosts.renewalPids()) await killed(pid)

  expect(await one.ask()).toMatch(/^token /)

  expect(issuer.reuses).toEqual([])
})

/** Resolves when its parent has taken note. */
async function killed(pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL')
  await vi.waitUntil(() => !isThere(pid), WAIT)
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test('a turn that a dead host has left is taken over at once', async () => {
  await signedIn()
  const gone = { ...thisProcess(), start: 'another start' }
  writeFileSync(turnPath(file()), JSON.stringify(gone))
  const one = await host()
  const since = performance.now()

  expect(await one.ask()).toMatch(/^token /)

  expect(performance.now() - since).toBeLessThan(TURN_MS)
  expect(readdirSync(dataDir)).toEqual(['codex-tokens.json'])
})

test('a host that is stopped in its turn delays the others for no longer than a turn; its own renewal goes on', async () => {
  const before = await signedIn()
  const { child, said, answer } = await renewing()
  child.kill('SIGSTOP')
  answer()
  await vi.waitUntil(() => store.peek()?.access_token !== before.access_token, WAIT)
  issuer.beforeRefreshAnswer = undefined

  const since = performance.now()
  const newest = await ask(store.peek()?.access_token)
  const tookMs = performance.now() - since

  expect(issuer.counts.refresh).toBe(2)
  expect(tookMs).toBeGreaterThanOrEqual(TURN_MS)
  expect(tookMs).toBeLessThan(3 * TURN_MS)

  child.kill('SIGCONT')
  expect(await said).toBe(`token ${newest.access_token}`)
}, 60_000)

test('a sign-out removes a turn that was left', async () => {
  await signedIn()
  writeFileSync(turnPath(file()), JSON.stringify({ ...thisProcess(), start: 'another start' }))

  await store.remove()

  expect(readdirSync(dataDir)).toEqual([])
})

test.each([
  ['429 with a pause in seconds', 1, 429, '60'],
  ['503 with a pause by date', 1, 503, new Date(Date.now() + 3_600_000).toUTCString()],
  ['503 without a pause', 2, 503, undefined],
  ['503 with a pause of nothing', 2, 503, '0'],
  ['503 with a pause nobody can read', 2, 503, 'soon'],
])('after %s the service is asked %s time(s)', async (_, times, status, wait) => {
  const { access_token } = await signedIn()
  const headers = wait === undefined ? {} : { 'retry-after': wait }
  issuer.refreshReplies = [
    { status, headers },
    { status, headers },
  ]
  const renew = renewInProcess({ dataDir, issuer: issuer.url })
  const due = { accessToken: access_token, wasRejected: false }

  const failures = [await failure(renew(due)), await failure(renew(due))]

  expect(issuer.counts.refresh).toBe(times)
  const words = times === 1 ? /the service asks for a pause of \d+ s\.$/ : /try again in a moment/
  for (const each of failures) {
    expect(each).toMatchObject({ code: 'refresh-failed', message: expect.stringMatching(words) })
  }
  // A new sign-in has nothing to do with that.
  issuer.refreshReplies = []
  await renew({ ...due, accessToken: (await signedIn()).access_token })
})

test('who has bundled us into one file is told which one is missing', async () => {
  await signedIn()
  const { ask: askHost } = await host()
  const aside = `${hosts.renewalFile}.aside`
  renameSync(hosts.renewalFile, aside)
  onTestFinished(() => renameSync(aside, hosts.renewalFile))

  const said = await askHost()

  expect(said).toMatch(/^error internal /)
  expect(said).toContain(`${hosts.renewalFile} is missing`)
  expect(issuer.counts.refresh).toBe(0)
})
