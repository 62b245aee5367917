import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { usableTokens } from '../../host/auth/access-token.ts'
import { renewUnderLock } from '../../host/auth/renew-under-lock.ts'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import { type FakeIssuer, startFakeIssuer } from '../fakes/issuer.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { type Bundled, bundled } from './bundled.ts'
import { renewalPid } from './renewal-pid.ts'
import type { TokenProcessOptions } from './token-process.ts'

/** `CHAOS=full` runs everything at the size that is promised, which takes some minutes. */
const isFull = process.env.CHAOS === 'full'
const SIZE = isFull
  ? { kills: 1000, rounds: 20, nemesisMs: 60_000, renewals: 1000 }
  : { kills: 60, rounds: 3, nemesisMs: 6_000, renewals: 20 }
const TIMEOUT_MS = 900_000

let root: string
let issuer: FakeIssuer
let script: Bundled
let children: ChildProcess[]

beforeAll(async () => {
  script = await bundled('token-process.ts')
})
afterAll(() => script.remove())

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'codexbox-chaos-'))
  issuer = await startFakeIssuer()
  children = []
})

afterEach(async () => {
  const left = children.filter(isRunning)
  for (const child of left) child.kill('SIGKILL')
  await Promise.all(left.map((child) => once(child, 'close')))
  await issuer.close()
  await script.idle()
  rmSync(root, { recursive: true, force: true })
})

const isRunning = ({ exitCode, signalCode }: ChildProcess) =>
  exitCode === null && signalCode === null

function start(task: string, options: Partial<TokenProcessOptions>) {
  const all = { dataDir: root, issuer: issuer.url.href, ...options }
  const child = spawn(process.execPath, [script.file, task, JSON.stringify(all)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  child.stdin.on('error', () => {})
  children.push(child)
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const nextLine = async () => String((await lines.next()).value)
  return { child, lines, nextLine }
}

async function kill(child: ChildProcess): Promise<void> {
  const closed = once(child, 'close')
  child.kill('SIGKILL')
  await closed
}

test(
  `T6: ${SIZE.kills} kills in the middle of saving leave no file that cannot be read`,
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
        await pause(Math.random() * 10)
        await kill(child)
        // It throws for a file that is torn.
        const stored = await store.read()
        expect(stored).toMatchObject({ refresh_token: 'canary-refresh-token' })
        if ((stored?.last_refresh ?? 0) > 1) changes++
      }
    }

    await Promise.all(['a', 'b', 'c', 'd'].map(lane))

    // Most were indeed in the middle of it.
    expect(changes).toBeGreaterThan(SIZE.kills / 4)
    report(`${kills} kills, 0 files that could not be read`)
  },
  TIMEOUT_MS,
)

test(
  `T9: 50 processes that need a renewal at once ask for one, in each of ${SIZE.rounds} rounds`,
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

test('T9: who was stopped with the lock until it was taken from him neither spends nor writes', async () => {
  const lock = { staleMs: 300, lockTimeoutMs: 5_000 }
  const store = fileTokenStore(root, lock)
  await store.replace(someTokens({ ...issuer.grant(), expires_at: 0 }))
  issuer.refreshReplies = ['hang']
  const { child, nextLine } = start('ask', lock)
  await nextLine()
  const asked = issuer.nextTokenRequest()
  child.stdin.write('go\n')
  await asked
  const pid = renewalPid(root)
  process.kill(pid, 'SIGSTOP')
  const tokens = usableTokens({ store, renew: renewUnderLock({ store, issuer: issuer.url }) })

  // It may have been answered, so nobody else spends the token as long as it lives.
  await expect(tokens()).rejects.toThrow(`kill -CONT ${pid}`)
  expect(issuer.counts.refresh).toBe(1)

  // A sign-in of one's own is not held up by it, and not undone by it.
  const mine = someTokens(issuer.grant())
  await store.replace(mine)
  process.kill(pid, 'SIGCONT')
  process.kill(pid, 'SIGKILL')
  await script.idle()
  expect(await store.read()).toEqual(mine)
  expect(issuer.reuses).toEqual([])
}, 60_000)

test('T9: who was stopped in the middle, and is woken when somebody signed out, brings nothing back', async () => {
  const lock = { staleMs: 300, lockTimeoutMs: 5_000 }
  const store = fileTokenStore(root, lock)
  const before = someTokens({ ...issuer.grant(), expires_at: 0 })
  await store.replace(before)
  let answer = () => {}
  issuer.beforeRefreshAnswer = () =>
    new Promise((resolve) => {
      answer = resolve
    })
  const { child, nextLine } = start('ask', lock)
  await nextLine()
  const asked = issuer.nextTokenRequest()
  child.stdin.write('go\n')
  await asked
  const pid = renewalPid(root)
  process.kill(pid, 'SIGSTOP')

  await store.remove()
  answer()
  process.kill(pid, 'SIGCONT')

  expect(await nextLine()).toMatch(/^error refresh-failed .* was lost to another process/)
  expect(await store.read()).toBeUndefined()
}, 60_000)

test(
  `T9: 8 processes, killed and stopped at random for ${SIZE.nemesisMs / 1000} s, lose nothing and spend no token twice`,
  async () => {
    // By this clock every token is due, and every failure is forgotten, when it is looked at again.
    const clock = { since: Date.now(), speed: 2400 }
    const lock = { staleMs: 400, lockTimeoutMs: 4_000 }
    const store = fileTokenStore(root, lock)
    await store.replace(someTokens({ ...issuer.grant(), expires_at: 0, last_refresh: 0 }))
    let started = 0
    let kills = 0
    let stops = 0
    const lost: string[] = []
    let isOver = false
    const latestEndAt = Date.now() + 10 * SIZE.nemesisMs

    /** One place in the crowd: a process, and after its death the next. */
    const place = async () => {
      while (!isOver) {
        started++
        const { child, lines } = start('keepAsking', { clock, ...lock })
        const nemesis = (async () => {
          await pause(500 + Math.random() * 4000)
          while (isRunning(child) && !isOver && Math.random() < 0.5) {
            stops++
            child.kill('SIGSTOP')
            await pause(Math.random() * 1000)
            child.kill('SIGCONT')
            await pause(Math.random() * 1000)
          }
          kills++
          await kill(child)
        })()
        for await (const line of lines) {
          if (line.startsWith('error not-signed-in')) lost.push(line)
        }
        await nemesis
      }
    }
    const crowd = Promise.all(Array.from({ length: 8 }, place))
    await pause(SIZE.nemesisMs)
    // A machine that is busy takes longer for the same number.
    while (issuer.counts.refresh <= SIZE.renewals && Date.now() < latestEndAt) await pause(100)
    isOver = true
    await crowd
    await script.idle()

    report(
      `${issuer.counts.refresh} renewals for ${started} processes, ${kills} kills, ${stops} stops; ` +
        `${issuer.reuses.length} reuses; ${lost.length} answers that the sign-in is lost`,
    )
    expect(issuer.reuses).toEqual([])
    expect(lost).toEqual([])
    expect(issuer.counts.refresh).toBeGreaterThan(SIZE.renewals)
    // And what is left is of use.
    const { access_token: rejected } = (await store.read()) ?? someTokens()
    const renew = renewUnderLock({ store, issuer: issuer.url })
    const after = await usableTokens({ store, renew })(rejected)
    expect(after.access_token).not.toBe(rejected)
  },
  TIMEOUT_MS,
)

/** The figures are worth reading when they were asked for. */
function report(line: string): void {
  if (isFull) process.stderr.write(`${line}\n`)
}
