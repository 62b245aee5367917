import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { renewUnderLock } from '../../host/auth/renewal/renew.ts'
import { usableTokens } from '../../host/auth/renewal/usable-tokens.ts'
import { fileTokenStore, type TokenStore } from '../../host/auth/token-store.ts'
import type { Tokens } from '../../host/auth/tokens.ts'
import { CodexboxError } from '../../shared/errors.ts'
import { type FakeIssuer, startFakeIssuer } from '../fakes/issuer.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { type Fault, withFault } from './fs-faults.ts'
import type { TokenProcessOptions } from './token-process.ts'
import { isRunning, tokenProcesses } from './token-processes.ts'

// A lock file that a fault has left behind is taken over soon.
const LOCK = { staleMs: 40, lockTimeoutMs: 5_000 }

const hosts = await tokenProcesses()

let root: string
let issuer: FakeIssuer

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'codexbox-faults-'))
  issuer = await startFakeIssuer()
})

afterEach(async () => {
  await issuer.close()
  rmSync(root, { recursive: true, force: true })
})

interface Round {
  dataDir: string
  store: TokenStore
  before: Tokens
}

/** A folder of its own with a sign-in that has to be renewed. */
async function newRound(): Promise<Round> {
  const dataDir = mkdtempSync(join(root, 'round-'))
  const store = fileTokenStore(dataDir, LOCK)
  const before = someTokens({ ...issuer.grant(), expires_at: 0 })
  await store.replace(before)
  issuer.counts.refresh = 0
  return { dataDir, store, before }
}

const ask = (store: TokenStore, rejected?: string) =>
  usableTokens({ store, renew: renewUnderLock({ store, issuer: issuer.url }) })(rejected)

const FAULTS: Fault[] = ['ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'EACCES', 'EMFILE']

test.each(FAULTS)(
  '%s at any call of a renewal: no token is spent twice or for nothing, and none is lost',
  async (fault) => {
    const faulted = { unspent: [] as string[], spent: [] as string[] }
    for (let at = 1; ; at++) {
      const { dataDir, store, before } = await newRound()

      let thrown: unknown
      const report = await withFault(dataDir, at, fault, () =>
        ask(store).catch((error: unknown) => {
          thrown = error
        }),
      )

      if (thrown !== undefined) expect(thrown).toBeInstanceOf(CodexboxError)
      const wasSpent = issuer.counts.refresh > 0
      const stored = await store.read()
      if (!wasSpent) expect(stored).toEqual(before)
      const after = await ask(store)
      // Whatever went wrong: the token was spent once, and what came of it is there.
      expect(issuer.counts.refresh, `${fault} at ${at}: ${report.faulted}`).toBe(1)
      expect(after.refresh_token).not.toBe(before.refresh_token)
      expect(await store.read()).toEqual(after)
      if (report.faulted === undefined) break
      faulted[wasSpent ? 'spent' : 'unspent'].push(report.faulted)
    }

    // The lock, and the room for the answer: without them nothing was sent. The tokens came after.
    expect(count(faulted.unspent, 'writeFile')).toBe(2)
    expect(count(faulted.spent, 'writeFile')).toBe(1)
    expect(count(faulted.spent, 'writeSync')).toBe(1)
    expect(count(faulted.spent, 'rename')).toBe(1)
    expect(issuer.reuses).toEqual([])
  },
)

const count = (names: string[], name: string) => names.filter((each) => each === name).length

test.each(FAULTS)('%s at any call of a sign-in: the old or the new is there', async (fault) => {
  for (let at = 1; ; at++) {
    const { dataDir, store, before } = await newRound()
    const after = someTokens({ email: 'new@example.com' })

    let thrown: unknown
    const report = await withFault(dataDir, at, fault, () =>
      store.replace(after).catch((error: unknown) => {
        thrown = error
      }),
    )

    const stored = await store.read()
    expect([before, after]).toContainEqual(stored)
    if (thrown === undefined) expect(stored).toEqual(after)
    else expect(thrown).toBeInstanceOf(CodexboxError)
    if (report.faulted === undefined) break
  }
})

test('where a folder cannot be synced, all else goes as usual', async () => {
  const outcomes: boolean[] = []
  for (let at = 1; ; at++) {
    const { dataDir, store } = await newRound()
    let worked = true
    const work = () =>
      ask(store).catch(() => {
        worked = false
      })
    const { faulted } = await withFault(dataDir, at, 'EINVAL', work)
    if (faulted === 'sync') outcomes.push(worked)
    if (faulted === undefined) break
  }

  // In turn: the room for the answer, its folder; the answer; the tokens, their folder.
  expect(outcomes).toEqual([false, true, true, false, true])
})

test('a renewal process that dies at any call loses nothing, but at the very first write of the answer', async () => {
  const lost: string[] = []
  let rounds = 0
  for (let at = 1; ; at++) {
    const { dataDir, store, before } = await newRound()
    const options = { at, kind: 'die' } as const

    const child = await renewInChild({ dataDir, issuer: issuer.url.href, fault: options })
    if (child.signal === null) break
    rounds++

    const stored = await store.read()
    expect(stored).toBeDefined()
    const after = await ask(store).catch(() => undefined)
    if (after) {
      expect(issuer.counts.refresh, `died at call ${at}`).toBe(1)
      expect(after.refresh_token).not.toBe(before.refresh_token)
      // The next renewal has a new token to spend, and clears up what the dead one left.
      await ask(store, after.access_token)
      expect(readdirSync(dataDir)).toEqual(['codex-tokens.json'])
    } else {
      // Known as lost, and never deleted.
      expect(await store.read()).toEqual({ ...before, dead: 'lost' })
      lost.push(child.lastCall ?? '')
    }
  }

  expect(rounds).toBeGreaterThan(20)
  expect(issuer.reuses.length).toBe(lost.length)
  expect(lost).toEqual(['writeSync'])
}, 60_000)

async function renewInChild(options: TokenProcessOptions) {
  const { child, lines } = hosts.start('renewWithFault', options)
  let lastCall: string | undefined
  for await (const line of lines) lastCall = /^died at (.*)$/.exec(line)?.[1] ?? lastCall
  if (isRunning(child)) await once(child, 'close')
  return { signal: child.signalCode, lastCall }
}
