import type { ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { renewUnderLock } from '../../host/auth/renewal/renew.ts'
import { usableTokens } from '../../host/auth/renewal/usable-tokens.ts'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import { type FakeIssuer, startFakeIssuer } from '../fakes/issuer.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { isFull } from '../full-size.ts'
import { renewalEntries, renewalPid } from './renewal-entries.ts'
import type { TokenProcessOptions } from './token-process.ts'
import { isRunning, tokenProcesses } from './token-processes.ts'

const SIZE = isFull
  ? { kills: 1000, rounds: 20, nemesisMs: 60_000, renewals: 1000 }
  : { kills: 24, rounds: 2, nemesisMs: 2_000, renewals: 20 }
const TIMEOUT_MS = 900_000

const hosts = await tokenProcesses()

let root: string
let issuer: FakeIssuer

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'codexbox-chaos-'))
  issuer = await startFakeIssuer()
})

afterEach(async () => {
  await issuer.close()
  await hosts.end()
  rmSync(root, { recursive: true, force: true })
})

const start = (task: string, options: Partial<TokenProcessOptions>) =>
  hosts.start(task, { dataDir: root, issuer: issuer.url.href, ...options })

async function kill(child: ChildProcess): Promise<void> {
  const closed = once(child, 'close')
  child.kill('SIGKILL')
  await closed
}

test(
  `${SIZE.kills} kills in the middle of saving leave no file that cannot be read`,
  async () => {
    let kills = 0
    let changes = 0
    const lane = async (name: string) => {
      const dataDir = join(root, name)
      const store = fileTokenStore(dataDir)
      await store.replace(someTokens({ last_refresh: 0 }))
      while (kills < SIZE.kills) {
        kills++
        const { child, nextLine } = start('keepSaving', { dataDir })
        expect([await nextLine(), await nextLine()]).toEqual(['ready', 'saved'])
        await pause(Math.random() * 30)
        await kill(child)
        // It throws for a file that is torn.
        const stored = await store.read()
        expect(stored).toMatchObject({ refresh_token: 'canary-refresh-token' })
        if ((stored?.last_refresh ?? 0) > 1) changes++
      }
    }

    await Promise.all(['a', 'b', 'c', 'd'].map(lane))

    // They were indeed in the middle of it; on a machine that is busy, many still at the first.
    expect(changes).toBeGreaterThan(SIZE.kills / 8)
    report(`${kills} kills, 0 files that could not be read`)
  },
  TIMEOUT_MS,
)

test(
  `50 processes that need a renewal at once ask for one, in each of ${SIZE.rounds} rounds`,
  async () => {
    const store = fileTokenStore(root)
    await store.replace(someTokens(issuer.grant()))
    const askers = Array.from({ length: 50 }, () => start('ask', {}))
    for (const { nextLine } of askers) expect(await nextLine()).toBe('ready')

    const requests: number[] = []
    for (let round = 1; round <= SIZE.rounds; round++) {
      await store.update(async (current) => ({
        ...(current ?? someTokens()),
        expires_at: 0,
        last_refresh: 0,
      }))
      issuer.counts.refresh = 0
      for (const { child } of askers) child.stdin.write('go\n')
      const answers = await Promise.all(askers.map(({ nextLine }) => nextLine()))

      expect(new Set(answers)).toEqual(new Set([`token ${(await store.read())?.access_token}`]))
      requests.push(issuer.counts.refresh)
    }

    expect(requests).toEqual(Array(SIZE.rounds).fill(1))
    expect(issuer.reuses).toEqual([])
    report(`50 processes, token requests in each round: ${requests.join(' ')}; 0 reuses`)
  },
  TIMEOUT_MS,
)

test('who was stopped with the lock until it was taken from him neither spends nor writes', async () => {
  const lock = { staleMs: 300, lockTimeoutMs: 5_000 }
  const store = fileTokenStore(root, lock)
  await store.replace(someTokens({ ...issuer.grant(), expires_at: 0 }))
  issuer.refreshReplies = ['hang']
  const { pid } = await stoppedRenewal(lock)
  const tokens = usableTokens({ store, renew: renewUnderLock({ store, issuer: issuer.url }) })

  // It may have been answered, so nobody else spends the token as long as it lives.
  await expect(tokens()).rejects.toThrow(`kill -CONT ${pid}`)
  expect(issuer.counts.refresh).toBe(1)

  // A sign-in of one's own is not held up by it, and not undone by it.
  const mine = someTokens(issuer.grant())
  await store.replace(mine)
  process.kill(pid, 'SIGCONT')
  process.kill(pid, 'SIGKILL')
  await hosts.idle()
  expect(await store.read()).toEqual(mine)
  expect(issuer.reuses).toEqual([])
}, 60_000)

test('who was stopped in the middle, and is woken when somebody signed out, brings nothing back', async () => {
  const lock = { staleMs: 300, lockTimeoutMs: 5_000 }
  const store = fileTokenStore(root, lock)
  const before = someTokens({ ...issuer.grant(), expires_at: 0 })
  await store.replace(before)
  let answer = () => {}
  issuer.beforeRefreshAnswer = () =>
    new Promise((resolve) => {
      answer = resolve
    })
  const { pid, nextLine } = await stoppedRenewal(lock)

  await store.remove()
  answer()
  process.kill(pid, 'SIGCONT')

  expect(await nextLine()).toMatch(/^error refresh-failed .* was lost to another process/)
  expect(await store.read()).toBeUndefined()
}, 60_000)

/** A renewal that is stopped when it has asked, `nextLine` being the next that its host says. */
async function stoppedRenewal(lock: Partial<TokenProcessOptions>) {
  const { child, nextLine } = start('ask', lock)
  await nextLine()
  const asked = issuer.nextTokenRequest()
  child.stdin.write('go\n')
  await asked
  const pid = renewalPid(root)
  process.kill(pid, 'SIGSTOP')
  return { pid, nextLine }
}

interface Rage {
  /** Whether the processes of the renewals are killed too. */
  killsRenewals: boolean
  /** How many renewals there shall be at least. */
  renewals: number
}

interface Toll {
  started: number
  kills: number
  stops: number
  renewalKills: number
  /** Hashes of the refresh tokens whose answer a killed process may have had, and not on the disk. */
  mayBeLost: Set<string>
  /** Why sign-ins have ended. Each was followed by a new one. */
  deaths: string[]
  /** What hosts said that is neither a token nor that there is none for now or any more. */
  strange: string[]
  seconds: number
}

/** Eight hosts that are all the time in need of a renewal, and are killed and stopped at random. */
async function rage({ killsRenewals, renewals }: Rage): Promise<Toll> {
  // By this clock every token is due, and every failure is forgotten, when it is looked at again.
  const clock = { since: Date.now(), speed: 2400 }
  const lock = { staleMs: 400, lockTimeoutMs: 4_000 }
  const store = fileTokenStore(root, lock)
  const signIn = () =>
    store.replace(someTokens({ ...issuer.grant(), expires_at: 0, last_refresh: 0 }))
  await signIn()
  const toll: Toll = {
    started: 0,
    kills: 0,
    stops: 0,
    renewalKills: 0,
    mayBeLost: new Set(),
    deaths: [],
    strange: [],
    seconds: 0,
  }
  let isOver = false

  /** One place in the crowd: a process, and after its death the next. */
  const place = async () => {
    while (!isOver) {
      toll.started++
      const { child, lines } = start('keepAsking', { clock, ...lock })
      const nemesis = (async () => {
        await pause(500 + Math.random() * 4000)
        while (isRunning(child) && !isOver && Math.random() < 0.5) {
          toll.stops++
          child.kill('SIGSTOP')
          await pause(Math.random() * 1000)
          child.kill('SIGCONT')
          await pause(Math.random() * 1000)
        }
        if (isOver) return
        toll.kills++
        await kill(child)
      })()
      let answersAfter = 0
      for await (const line of lines) {
        if (!EXPECTED.test(line)) toll.strange.push(line)
        // Whoever is left gets his answer.
        if (isOver && ++answersAfter === 2) child.kill('SIGKILL')
      }
      await nemesis
    }
  }
  const renewalNemesis = async () => {
    while (killsRenewals && !isOver) {
      await pause(Math.random() * 500)
      // Most are at rest, so every other time it is one in the middle of its work.
      const [entry] = Math.random() < 0.5 ? renewalEntries(root) : []
      const pids = hosts.renewalPids()
      const pid = entry?.pid ?? pids[Math.floor(Math.random() * pids.length)]
      if (pid === undefined || !pids.includes(pid)) continue
      for (const { sha256 } of renewalEntries(root).filter(
        (each) => each.pid === pid && !each.isAnswered,
      )) {
        toll.mayBeLost.add(sha256)
      }
      if (killIfThere(pid)) toll.renewalKills++
    }
  }
  const person = async () => {
    while (!isOver) {
      // It throws for a file that is torn.
      const tokens = store.peek()
      if (tokens?.dead) {
        toll.deaths.push(tokens.dead)
        await signIn()
      }
      await pause(20)
    }
  }

  const since = Date.now()
  const crowd = Promise.all([renewalNemesis(), person(), ...Array.from({ length: 8 }, place)])
  await pause(SIZE.nemesisMs)
  // A machine that is busy takes longer for the same number.
  const isEnough = () => issuer.counts.refresh > renewals
  while (!isEnough() && Date.now() < since + 10 * SIZE.nemesisMs) await pause(100)
  toll.seconds = Math.round((Date.now() - since) / 1000)
  isOver = true
  await crowd
  await hosts.idle()

  report(
    `${issuer.counts.refresh} renewals in ${toll.seconds} s by ${toll.started} processes, ` +
      `${toll.kills} kills, ${toll.stops} stops, ${toll.renewalKills} kills of renewal processes; ` +
      `${issuer.reuses.length} reuses; ended sign-ins: ${toll.deaths.join(' ') || 'none'}`,
  )
  return toll
}

/** What a host may say. The last is what a person reads who has to sign in again. */
const EXPECTED =
  /^(ready|token \S+|error refresh-failed .*|error not-signed-in A renewal of the sign-in broke off before .*)$/

function killIfThere(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL')
  } catch {
    return false // It has just ended.
  }
}

/** The newest tokens, after a renewal that nobody disturbs. */
async function renewedOnce() {
  const store = fileTokenStore(root)
  const { access_token: rejected } = (await store.read()) ?? someTokens()
  const renew = renewUnderLock({ store, issuer: issuer.url })
  const after = await usableTokens({ store, renew })(rejected)
  expect(after.access_token).not.toBe(rejected)
}

test(
  `8 processes, killed and stopped at random for ${SIZE.nemesisMs / 1000} s, lose nothing and spend no token twice`,
  async () => {
    const { renewals } = SIZE
    const { deaths, strange } = await rage({ killsRenewals: false, renewals })

    expect(issuer.reuses).toEqual([])
    expect({ deaths, strange }).toEqual({ deaths: [], strange: [] })
    expect(issuer.counts.refresh).toBeGreaterThan(renewals)
    // And what is left is of use.
    await renewedOnce()
  },
  TIMEOUT_MS,
)

test(
  `the same with the processes of the renewals killed too: only what one of them had just been told is lost, and known as lost`,
  async () => {
    const renewals = SIZE.renewals / 4
    const toll = await rage({ killsRenewals: true, renewals })
    const { deaths, strange, mayBeLost, renewalKills } = toll

    // The last sign-in works, or is the last of those that were lost.
    await renewedOnce().catch((error: unknown) => {
      expect(String(error)).toContain('A renewal of the sign-in broke off before')
      deaths.push(String(fileTokenStore(root).peek()?.dead))
    })
    expect(strange).toEqual([])
    expect(deaths).toEqual(issuer.reuses.map(() => 'lost'))
    for (const { refreshToken } of issuer.reuses) {
      expect(mayBeLost).toContain(createHash('sha256').update(refreshToken).digest('hex'))
    }
    expect(renewalKills).toBeGreaterThan(renewals / 10)
    expect(issuer.counts.refresh).toBeGreaterThan(renewals)
  },
  TIMEOUT_MS,
)

/** The figures are worth reading when they were asked for. */
function report(line: string): void {
  if (isFull) process.stderr.write(`${line}\n`)
}
