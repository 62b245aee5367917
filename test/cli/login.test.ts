import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import { type FakeIssuer, startFakeIssuer } from '../fakes/issuer.ts'
import { runCodexbox } from './run-codexbox.ts'

let issuer: FakeIssuer
let dataDir: string

beforeEach(async () => {
  issuer = await startFakeIssuer()
  dataDir = mkdtempSync(join(tmpdir(), 'codexbox-login-'))
})

afterEach(async () => {
  await issuer.close()
  rmSync(dataDir, { recursive: true, force: true })
})

const env = () => ({
  CODEX_DATA_DIR: dataDir,
  CODEX_AUTH_ISSUER: issuer.url.origin,
  CODEX_HOME: dataDir,
})

test('login --paste signs in by an address that another program hands in', async () => {
  const { code, stderr } = await runCodexbox(['login', '--paste'], env(), (said, child) => {
    const url = /^http\S+/m.exec(said)?.[0]
    if (!url || !said.includes('Paste the address')) return
    fetch(url, { redirect: 'manual' })
      .then((answer) => child.stdin?.end(`${answer.headers.get('location')}\n`))
      .catch(() => {})
  })

  expect(code).toBe(0)
  expect(stderr).toContain('Signed in to ChatGPT as a…@example.com')
  expect((await fileTokenStore(dataDir).read())?.account_id).toBe('account-1')
  for (const secret of issuer.secrets) expect(stderr).not.toContain(secret)
})

test('login without a display signs in with a code for another device', async () => {
  issuer.device.approved = true

  const { code, stdout, stderr } = await runCodexbox(['login'], env())

  expect(code).toBe(0)
  expect(stderr).toContain('ABCD-12345')
  expect(stdout).toBe('')
})

test('Ctrl-C ends a sign-in that waits, and changes nothing', async () => {
  let isStopped = false

  const { code, stderr } = await runCodexbox(['login', '--device'], env(), (said, child) => {
    if (isStopped || !said.includes('Waiting for you')) return
    isStopped = true
    child.kill('SIGINT')
  })

  expect(code).toBe(130)
  expect(stderr).toContain('stopped. Nothing was changed')
  expect(await fileTokenStore(dataDir).read()).toBeUndefined()
})

test('login --import needs no terminal and no network', async () => {
  writeFileSync(join(dataDir, 'auth.json'), JSON.stringify({ tokens: issuer.grant() }))

  const { code, stderr } = await runCodexbox(['login', '--import'], env())

  expect(code).toBe(0)
  expect(stderr).toContain('whoever renews second')
  expect(issuer.requests).toEqual([])
})

test.each([
  ['that is refused ends with 3', ['login', '--import'], 3],
  ['in two ways at once is wrong use', ['login', '--paste', '--device'], 2],
  ['in an unknown way is wrong use', ['login', '--magic'], 2],
])('a login %s', async (_, args, expected) => {
  const { code } = await runCodexbox(args, env())

  expect(code).toBe(expected)
  expect(issuer.requests).toEqual([])
})
