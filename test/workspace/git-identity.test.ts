import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { gitIdentity } from '../../host/workspace/git-identity.ts'

let home: string
let env: NodeJS.ProcessEnv

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'codexbox-identity-'))
  env = { PATH: process.env.PATH, HOME: home, GIT_CONFIG_NOSYSTEM: '1' }
})

afterEach(() => rmSync(home, { recursive: true, force: true }))

/** Whom git takes the handed config for. */
function personIn(config: string | undefined): string {
  writeFileSync(join(home, 'handed'), config ?? '')
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      cwd: '/',
      env: {
        PATH: process.env.PATH,
        GIT_CONFIG_NOSYSTEM: '1',
        GIT_CONFIG_GLOBAL: join(home, 'handed'),
      },
    })
  return String(git('var', 'GIT_AUTHOR_IDENT')).replace(/ \d+ \S+\n$/, '')
}

test.each([
  ['Ada Example', 'ada@example.org'],
  ['Ada "the first" \\ Example; #1', 'ada+git@example.org'],
  ['阿达', 'ada@例え.jp'],
])('%s <%s> is handed on as git knows it', async (name, email) => {
  execFileSync('git', ['config', '--global', 'user.name', name], { env })
  execFileSync('git', ['config', '--global', 'user.email', email], { env })

  expect(personIn(await gitIdentity(env))).toBe(`${name} <${email}>`)
})

test('a config that is included counts, and the variables of git go before it', async () => {
  writeFileSync(join(home, 'who'), '[user]\nname = Included\nemail = in@example.org\n')
  writeFileSync(join(home, '.gitconfig'), '[include]\npath = who\n')

  expect(personIn(await gitIdentity(env))).toBe('Included <in@example.org>')
  const variables = { ...env, GIT_AUTHOR_NAME: 'Ada' }
  expect(personIn(await gitIdentity(variables))).toBe('Ada <in@example.org>')
})

test('what a repository says is not asked for', async () => {
  mkdirSync(join(home, 'repo'))
  execFileSync('git', ['init', '-q', join(home, 'repo')], { env })
  execFileSync('git', ['-C', join(home, 'repo'), 'config', 'user.name', 'Planted'], { env })

  expect(await gitIdentity({ ...env, GIT_DIR: join(home, 'repo/.git') })).toBeUndefined()
})

test('there is none where git has no name, is not installed, or cannot be started', async () => {
  expect(await gitIdentity(env)).toBeUndefined()
  expect(await gitIdentity({ ...env, PATH: '/nonexistent' })).toBeUndefined()
  // More than the system takes for one variable (E2BIG).
  expect(await gitIdentity({ ...env, LONG: 'x'.repeat(256 * 1024) })).toBeUndefined()
})
