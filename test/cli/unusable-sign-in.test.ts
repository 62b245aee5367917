import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { type Home, openHome } from './cli-process.ts'

let home: Home

beforeEach(() => {
  home = openHome()
  mkdirSync(home.dataDir, { mode: 0o700 })
})

afterEach(() => home.clear())

const path = () => join(home.dataDir, 'codex-tokens.json')
const write = (text: string | Buffer) => writeFileSync(path(), text, { mode: 0o600 })

test.each<[what: string, make: () => unknown]>([
  ['is empty', () => write('')],
  ['is cut', () => write('{"access_token": "a')],
  ['is no JSON', () => write('hello')],
  ['is no text', () => write(Buffer.from([0xff, 0xfe, 0, 0xd8]))],
  ['is another JSON', () => write('[]')],
  ['lacks a token', () => write('{"access_token": "a"}')],
  ['is a link', () => symlinkSync('elsewhere', path())],
  ['is a folder', () => mkdirSync(path())],
  ['was set aside', () => writeFileSync(`${path()}.damaged-1`, '{')],
  [
    'was given up by the service',
    () => fileTokenStore(home.dataDir).replace({ ...someTokens(), dead: 'expired' }),
  ],
])('a run is never the demo beside a sign-in that %s', async (_, make) => {
  await make()

  for (const args of [
    ['run', 'Write a file.'],
    ['run', '--json', 'Write a file.'],
  ]) {
    const { code, stdout, stderr } = await home.run(args, { env: { AGENT_PROVIDER: '' } })

    expect(code).toBe(3)
    expect(stdout + stderr).not.toContain('demo')
    expect(stdout + stderr).toMatch(/[Ss]ign/)
  }
})

test('the demo runs beside it when it is asked for by name', async () => {
  write('{')

  const { code } = await home.run(['run', 'run: echo hello'], { env: { AGENT_PROVIDER: 'demo' } })

  expect(code).toBe(0)
})
