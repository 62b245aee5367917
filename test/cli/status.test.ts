import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import type { Tokens } from '../../host/auth/tokens.ts'
import { type FakeIssuer, startFakeIssuer } from '../fakes/issuer.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { type Home, openHome } from './cli-process.ts'

let issuer: FakeIssuer
let home: Home
/** Holds the data folder and everything else. */
let root: string
let dataDir: string

beforeEach(async () => {
  issuer = await startFakeIssuer()
  home = openHome()
  dataDir = home.dataDir
  root = dirname(dataDir)
})

afterEach(async () => {
  await issuer.close()
  home.clear()
})

const put = (about: Partial<Tokens> = {}) =>
  fileTokenStore(dataDir).replace(
    someTokens({ ...issuer.grant(), email: 'ada@example.com', plan: 'plus', ...about }),
  )

const status = (...args: string[]) =>
  home.run(['status', ...args], { env: { CODEX_AUTH_ISSUER: issuer.url.origin } })

/** Everything about every file that a look must not change. */
function snapshot(folder: string): unknown[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .map((entry) => join(entry.parentPath, entry.name))
    .concat(folder)
    .sort()
    .map((path) => {
      const { ino, mode, size, mtimeMs, ctimeMs } = statSync(path)
      const content = statSync(path).isFile() ? readFileSync(path, 'utf8') : ''
      return { path, ino, mode, size, mtimeMs, ctimeMs, content }
    })
}

test('it says who is signed in, until when, and where that is kept', async () => {
  const expires_at = Date.now() + 60 * 60_000
  await put({ expires_at })

  const { code, stdout } = await status('--json')

  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toEqual({
    signedIn: true,
    account: 'a…@example.com',
    plan: 'plus',
    expiresAt: new Date(expires_at).toISOString(),
    renewedAt: expect.any(String),
    file: join(dataDir, 'codex-tokens.json'),
  })
})

test('it says the same to a person, and no token', async () => {
  await put()

  const { code, stdout } = await status()

  expect(code).toBe(0)
  expect(stdout).toMatch(/Signed in to ChatGPT as a…@example\.com, plan plus\./)
  expect(stdout).toContain('renewed by itself')
  for (const secret of issuer.secrets) expect(stdout).not.toContain(secret)
})

test('it says when the sign-in was imported, and from where', async () => {
  await put({ imported_from: '/home/ada/.codex/auth.json' })

  const forPrograms = await status('--json')
  const forPeople = await status()

  expect(JSON.parse(forPrograms.stdout)).toMatchObject({
    signedIn: true,
    importedFrom: '/home/ada/.codex/auth.json',
  })
  expect(forPeople.stdout).toMatch(/imported +from \/home\/ada\/\.codex\/auth\.json/)
})

test('nobody signed in ends with 3, and makes no folder', async () => {
  const { code, stdout } = await status('--json')

  expect(code).toBe(3)
  expect(JSON.parse(stdout)).toMatchObject({
    signedIn: false,
    message: expect.stringMatching(/Not signed in to ChatGPT.*--step codex-auth/),
  })
  expect(readdirSync(root)).toEqual(['work'])
})

test('a dead sign-in ends with 3 and says why', async () => {
  await put({ dead: 'reused' })

  const { code, stdout } = await status('--json')

  expect(code).toBe(3)
  expect(JSON.parse(stdout)).toMatchObject({
    signedIn: false,
    dead: 'reused',
    message: expect.stringContaining('works only once'),
  })
})

test('it only looks: due tokens, loose modes, a lock and leftovers stay, the folder read-only', async () => {
  await put({ expires_at: 0 })
  const file = join(dataDir, 'codex-tokens.json')
  chmodSync(file, 0o644)
  writeFileSync(`${file}.lock`, '{"pid":1}')
  writeFileSync(`${file}.1-leftover.tmp`, '{"torn')
  chmodSync(dataDir, 0o500)
  const before = snapshot(root)

  const { code, stdout } = await status('--json')

  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ signedIn: true })
  expect(snapshot(root)).toEqual(before)
  expect(issuer.requests).toEqual([])
  chmodSync(dataDir, 0o700)
})

test('a damaged file that was set aside is named where nobody is signed in', async () => {
  await put()
  writeFileSync(join(dataDir, 'codex-tokens.json'), '{"torn')
  await expect(fileTokenStore(dataDir).read()).rejects.toThrow('damaged')

  const { code, stdout } = await status('--json')

  expect(code).toBe(3)
  expect(JSON.parse(stdout).message).toMatch(
    /Not signed in.* is now .*codex-tokens\.json\.damaged-\d+\. Sign in/,
  )
})

test('it only looks at a damaged file, too', async () => {
  await put()
  writeFileSync(join(dataDir, 'codex-tokens.json'), '{"torn canary')
  const before = snapshot(root)

  const { code, stdout } = await status()

  expect(code).toBe(3)
  expect(stdout).toContain('damaged')
  expect(stdout).not.toContain('canary')
  expect(snapshot(root)).toEqual(before)
})
