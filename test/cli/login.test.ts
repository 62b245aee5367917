import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import { type FakeIssuer, startFakeIssuer } from '../fakes/issuer.ts'
import { type Home, openHome, said } from './cli-process.ts'

let issuer: FakeIssuer
let home: Home

beforeEach(async () => {
  issuer = await startFakeIssuer()
  home = openHome()
})

afterEach(async () => {
  await issuer.close()
  home.clear()
})

const env = () => ({ CODEX_AUTH_ISSUER: issuer.url.origin, CODEX_HOME: home.workspace })

/** A sign-in during which the person may write more. */
const start = (...args: string[]) => home.start(args, { env: env(), input: { more: true } })

test('login --paste signs in by an address that another program hands in', async () => {
  const running = start('login', '--paste')
  const url = /^http\S+/m.exec(await said(running, 'Paste the address'))?.[0] ?? ''
  const answer = await fetch(url, { redirect: 'manual' })

  running.child.stdin?.end(`${answer.headers.get('location')}\n`)

  const { code, stderr } = await running.result
  expect(code).toBe(0)
  expect(stderr).toContain('Signed in to ChatGPT as a…@example.com')
  expect((await fileTokenStore(home.dataDir).read())?.account_id).toBe('account-1')
  for (const secret of issuer.secrets) expect(stderr).not.toContain(secret)
})

test('login without a display signs in with a code for another device', async () => {
  issuer.device.approved = true

  const { code, stdout, stderr } = await start('login').result

  expect(code).toBe(0)
  expect(stderr).toContain('ABCD-12345')
  expect(stdout).toBe('')
})

test('Ctrl-C ends a sign-in that waits, and changes nothing', async () => {
  const running = start('login', '--device')
  await said(running, 'Waiting for you')

  running.child.kill('SIGINT')

  const { code, stderr } = await running.result
  expect(code).toBe(130)
  expect(stderr).toContain('stopped. Nothing was changed')
  expect(await fileTokenStore(home.dataDir).read()).toBeUndefined()
})

test('login --import needs no terminal and no network', async () => {
  writeFileSync(join(home.workspace, 'auth.json'), JSON.stringify({ tokens: issuer.grant() }))

  const { code, stderr } = await start('login', '--import').result

  expect(code).toBe(0)
  expect(stderr).toContain('whoever renews second')
  expect(issuer.requests).toEqual([])
})

test.each([
  ['that is refused ends with 3', ['login', '--import'], 3],
  ['in two ways at once is wrong use', ['login', '--paste', '--device'], 2],
  ['in an unknown way is wrong use', ['login', '--magic'], 2],
])('a login %s', async (_, args, expected) => {
  const { code } = await start(...args).result

  expect(code).toBe(expected)
  expect(issuer.requests).toEqual([])
})
