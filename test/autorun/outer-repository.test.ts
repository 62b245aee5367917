import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { outerRepository } from '../../host/outer/autorun/outer-repository.ts'
import { reportOf } from '../../host/outer/autorun/report.ts'
import { scan } from '../../host/outer/autorun/scan.ts'
import { type ScanResult, Stop, scanInProcess } from '../../host/outer/autorun/scan-in-process.ts'
import { readUserConfig } from '../../host/outer/autorun/user-config.ts'

let box: string
/** A repository of the person's, with its files in a folder of its own. */
let main: string

beforeEach(() => {
  box = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-outer-')))
  main = join(box, 'main')
  put('main/deep/file')
  git(main, 'init', '-q', '-b', 'main')
  git(main, 'add', '.')
  git(main, 'commit', '-q', '-m', 'one')
})

afterEach(() => rmSync(box, { recursive: true, force: true }))

const env = () => ({
  PATH: process.env.PATH,
  HOME: box,
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@b',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@b',
})

const git = (cwd: string, ...args: string[]) =>
  execFileSync('git', args, { cwd, env: env(), stdio: 'ignore' })

function put(path: string, text = 'x'): void {
  mkdirSync(dirname(join(box, path)), { recursive: true })
  writeFileSync(join(box, path), text)
}

const mark = () => join(box, 'mark')

function program(path: string): void {
  put(path, `#!/bin/sh\ntouch ${mark()}\n`)
  chmodSync(join(box, path), 0o755)
}

function somethingRan(workspace: string): boolean {
  rmSync(mark(), { force: true })
  for (const args of [['status'], ['commit', '-q', '--allow-empty', '-m', 'two']]) {
    spawnSync('git', args, { cwd: workspace, env: env(), stdio: 'ignore' })
  }
  return existsSync(mark())
}

const look = (workspace: string) =>
  scan(workspace, { user: readUserConfig(env(), workspace, outerRepository(workspace)) })

const KINDS: Record<string, () => { workspace: string; above?: string }> = {
  'a linked worktree': () => {
    git(main, 'worktree', 'add', '-q', '../tree')
    return { workspace: join(box, 'tree') }
  },
  'a linked worktree with a config of its own': () => {
    git(main, 'config', 'extensions.worktreeConfig', 'true')
    git(main, 'worktree', 'add', '-q', '../tree')
    return { workspace: join(box, 'tree') }
  },
  'a folder of a larger repository': () => ({ workspace: join(main, 'deep'), above: 'deep/' }),
  'a folder of a larger repository, with an empty .git': () => {
    put('main/deep/.git/hooks/none')
    return { workspace: join(main, 'deep'), above: 'deep/' }
  },
  'a submodule': () => {
    git(box, 'init', '-q', 'super')
    const options = ['-c', 'protocol.file.allow=always']
    git(join(box, 'super'), ...options, 'submodule', 'add', '-q', main, 'sub')
    return { workspace: join(box, 'super/sub') }
  },
}

test.each(Object.entries(KINDS))('%s: what the config outside names is reported', (kind, make) => {
  const { workspace, above = '' } = make()
  const scope = kind.includes('of its own') ? '--worktree' : '--local'
  git(workspace, 'config', scope, 'core.fsmonitor', `${above}tools/fsmonitor`)
  git(workspace, 'config', scope, 'core.hooksPath', `${above}tools/git`)
  const tools = join(workspace.slice(box.length + 1), 'tools')
  put(`${tools}/fsmonitor`, '')
  const before = look(workspace)

  program(`${tools}/fsmonitor`)
  program(`${tools}/git/pre-commit`)
  const report = reportOf(before.states, look(workspace))

  expect(somethingRan(workspace)).toBe(true)
  expect(report?.paths.map(({ path }) => path)).toEqual(['tools/fsmonitor', 'tools/git/pre-commit'])
})

test('a .git below that leads outside is said to be unread, and what your own config names there is reported', () => {
  put('.gitconfig', '[core]\n\tfsmonitor = ./tools/fsmonitor\n')
  const workspace = join(box, 'work')
  put('work/sub/.git', `gitdir: ${main}/.git\n`)
  put('work/sub/tools/fsmonitor', '')
  const before = look(workspace)

  program('work/sub/tools/fsmonitor')
  const report = reportOf(before.states, look(workspace))

  expect(somethingRan(join(workspace, 'sub'))).toBe(true)
  expect(report?.paths).toMatchObject([
    { kind: 'git', path: 'sub/tools/fsmonitor' },
    { kind: 'unread', path: 'sub/.git', why: expect.stringContaining('leads outside') },
  ])
})

const moved = (from: string, to: string) => renameSync(join(box, from), join(box, to))

test.each<[what: string, at: string, lead: (workspace: string) => void]>([
  ['includes', '.git/config', (at) => git(at, 'config', 'include.path', '../../outer')],
  [
    'has as its own by a link',
    '.git/config',
    (at) => {
      git(at, 'config', 'include.path', join(box, 'outer'))
      moved('main/.git/config', 'config')
      symlinkSync(join(box, 'config'), join(at, '.git/config'))
    },
  ],
  [
    'has in its other half',
    '.git/commondir',
    (at) => {
      git(at, 'config', 'include.path', '../outer')
      moved('main/.git', 'half')
      put('main/.git/HEAD', 'ref: refs/heads/main\n')
      put('main/.git/commondir', '../../half\n')
      git(at, 'reset', '-q')
    },
  ],
])('a config outside that a repository %s is said to be unread', (_what, at, lead) => {
  put('outer', '[core]\n\tfsmonitor = ./tools/fsmonitor\n')
  lead(main)
  program('main/tools/fsmonitor')

  expect([...look(main).unread]).toEqual([[at, expect.stringContaining('leads outside')]])
  expect(somethingRan(main)).toBe(true)
})

test("what the user's own config here includes outside is read", () => {
  put('outer', '[core]\n\tfsmonitor = ./tools/fsmonitor\n')
  put('main/dot', `[include]\n\tpath = ${box}/outer\n`)
  symlinkSync(join(main, 'dot'), join(box, '.gitconfig'))
  put('main/tools/fsmonitor', '')
  const before = look(main)

  program('main/tools/fsmonitor')
  const report = reportOf(before.states, look(main))

  expect(somethingRan(main)).toBe(true)
  expect(report?.paths.map(({ path }) => path)).toEqual(['tools/fsmonitor'])
})

test('a .git that tools have made is not followed outside', async () => {
  git(main, 'config', 'core.hooksPath', 'tools')
  const workspace = join(box, 'work')
  put('work/file')
  const lookNow = async (before?: string): Promise<Extract<ScanResult, { status: 'looked' }>> => {
    const result = await scanInProcess({ root: workspace, onlyNews: false }, before, new Stop())
    if (result.status !== 'looked') throw new Error(result.reason)
    return result
  }
  const first = await lookNow()

  put('work/.git', `gitdir: ${main}/.git\n`)
  put('work/tools/pre-commit')
  const second = await lookNow(first.states)

  expect(second.report.report?.paths).toMatchObject([
    { kind: 'git', path: '.git' },
    { kind: 'unread', path: '.git', why: expect.stringContaining('leads outside') },
  ])
  // To who comes after that, it is as the person left it.
  put('work/tools/pre-commit', 'y')
  const third = await lookNow((await lookNow()).states)
  put('work/tools/pre-commit', 'z')
  const fourth = await lookNow(third.states)
  expect(fourth.report.report?.paths).toMatchObject([{ kind: 'hook', path: 'tools/pre-commit' }])
})
