import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { reportOf } from '../../host/outer/autorun/report.ts'
import { scan } from '../../host/outer/autorun/scan.ts'
import { readUserConfig } from '../../host/outer/autorun/user-config.ts'
import { isFull } from '../full-size.ts'

// What git itself runs is the judge: each plant runs a program that leaves a mark.

let box: string
let work: string
let home: string

beforeEach(() => {
  box = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-git-runs-')))
  work = join(box, 'work')
  home = join(box, 'home')
  for (const folder of [work, home]) mkdirSync(folder)
})

afterEach(() => rmSync(box, { recursive: true, force: true }))

const env = () => ({
  PATH: process.env.PATH,
  HOME: home,
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@b',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@b',
})

const git = (...args: string[]) =>
  execFileSync('git', args, {
    cwd: work,
    env: env(),
    stdio: ['ignore', 'pipe', 'ignore'],
    encoding: 'utf8',
  }).trim()

const mark = () => join(box, 'mark')

/** A command for a config: it leaves a mark, and lies nowhere in the workspace. */
const command = () => `touch ${mark()}; false`

function put(path: string, text: string | Buffer): string {
  const file = path.startsWith('/') ? path : join(work, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
  return file
}

/** A program that leaves a mark and hands on what it is given. */
function program(path: string): string {
  const file = put(
    path,
    `#!/bin/sh\ntouch ${mark()}\nif [ -n "$1" ]; then cat "$1"; else cat; fi\n`,
  )
  chmodSync(file, 0o755)
  return file
}

let touched = 0

/** What a person does first. Whether something ran. */
function somethingRan(): boolean {
  rmSync(mark(), { force: true })
  // So that git finds a reason to write its index.
  const file = join(work, 'file.bin')
  if (existsSync(file)) utimesSync(file, 1, ++touched)
  for (const args of [
    ['status'],
    ['diff'],
    ['log', '-p', '--all'],
    ['diff', '--cached'],
    ['blame', 'file'],
  ]) {
    spawnSync('git', ['--no-pager', ...args], { cwd: work, env: env(), stdio: 'ignore' })
  }
  return existsSync(mark())
}

const look = () => scan(work, { user: readUserConfig(env(), work) })

function repository(): void {
  git('init', '-q', '-b', 'main')
  put('file', 'one\n')
  put('file.bin', 'one\n')
  git('add', '.')
  git('commit', '-q', '-m', 'one')
  put('file', 'two\n')
}

function subRepository(path: string): string {
  git('init', '-q', path)
  git('-C', path, 'commit', '-q', '--allow-empty', '-m', 'one')
  return git('-C', path, 'rev-parse', 'HEAD')
}

/** Adds a submodule to the index by bytes: a name need not be text. */
function addGitlink(path: Buffer | string, id: string): void {
  spawnSync('git', ['update-index', '-z', '--index-info'], {
    cwd: work,
    env: env(),
    input: Buffer.concat([Buffer.from(`160000 ${id}\t`), Buffer.from(path), Buffer.of(0)]),
  })
}

function blob(text: string): string {
  return git('hash-object', '-w', put(join(box, 'blob'), `${text}\n`))
}

/** The content of all three sides of a merge, in the index alone. */
function putInConflict(path: string, texts: readonly string[]): void {
  const lines = texts.map((text, i) => `100644 ${blob(text)} ${i + 1}\t${path}\n`)
  execFileSync('git', ['update-index', '--index-info'], {
    cwd: work,
    env: env(),
    input: lines.join(''),
  })
}

/** Of files that need quotes, each text by its name. */
function attributesBehindQuotes(texts: Record<string, string>) {
  const prepare = () => {
    git('config', 'diff.x.textconv', `touch ${mark()}; cat`)
    git('config', 'diff.x".textconv', `touch ${mark()}; cat`)
    const names = ['deep/a b', '"a', '"qa']
    for (const text of ['one\n', 'two\n']) {
      for (const name of names) put(name, text)
      git('add', '.')
      git('commit', '-q', '-m', text)
    }
  }
  return Object.fromEntries(
    Object.entries(texts).map(([name, text]) => [
      `attributes of a pattern in quotes that ${name}`,
      {
        at: '.gitattributes',
        prepare,
        plant: () => put('.gitattributes', Buffer.from(text, 'latin1')),
      },
    ]),
  )
}

/** What they need before (`prepare`), what the tools of an agent do (`plant`), and what is to be reported (`at`). */
const plants: Record<string, { at: string; prepare?: () => void; plant: () => void }> = {
  'fsmonitor of the repository': {
    at: '.git/config',
    plant: () => git('config', 'core.fsmonitor', command()),
  },
  'a config that is included': {
    at: 'settings/git',
    prepare: () => {
      git('config', 'include.path', '../settings/git')
      put('settings/git', '[user]\n\tname = a\n')
    },
    plant: () => put('settings/git', `[core]\n\tfsmonitor = "${command()}"\n`),
  },
  'a config that is included by an included one, on a branch': {
    at: 'deep/two',
    prepare: () => {
      git('config', 'includeIf.onbranch:main.path', '../one')
      put('one', '[include]\n\tpath = deep/two\n')
      put('deep/two', '')
    },
    plant: () => put('deep/two', `[core]\n\tfsmonitor = "${command()}"\n`),
  },
  'a config that is included by its absolute path, for this folder': {
    at: 'abs',
    prepare: () => {
      git('config', `includeIf.gitdir:${work}/.path`, join(work, 'abs'))
      put('abs', '')
    },
    plant: () => put('abs', `[core]\n\tfsmonitor = "${command()}"\n`),
  },
  "a config that the user's own includes": {
    at: '.team',
    prepare: () => {
      put(join(home, '.gitconfig'), `[includeIf "gitdir:${work}/"]\n\tpath = ${work}/.team\n`)
      put('.team', '')
    },
    plant: () => put('.team', `[core]\n\tfsmonitor = "${command()}"\n`),
  },
  "a filter that the user's own config names": {
    at: 'tools/clean.sh',
    prepare: () => {
      put(join(home, '.gitconfig'), '[filter "x"]\n\tclean = ./tools/clean.sh --a\n')
      put('.gitattributes', 'file filter=x\n')
      put('tools/clean.sh', '#!/bin/sh\ncat\n')
      chmodSync(join(work, 'tools/clean.sh'), 0o755)
    },
    plant: () => put('tools/clean.sh', `#!/bin/sh\ntouch ${mark()}; cat\n`),
  },
  "a textconv by way of a shell, which the user's own config names": {
    at: 'tools/text.sh',
    prepare: () => {
      put(join(home, '.gitconfig'), '[diff "x"]\n\ttextconv = sh tools/text.sh\n')
      put('.gitattributes', 'file diff=x\n')
      put('tools/text.sh', 'cat "$1"\n')
    },
    plant: () => program('tools/text.sh'),
  },
  "fsmonitor that the user's own config names": {
    at: '.tools/fsm',
    prepare: () => {
      put(join(home, '.gitconfig'), '[core]\n\tfsmonitor = .tools/fsm\n')
      put('.tools/fsm', '')
    },
    plant: () => program('.tools/fsm'),
  },
  "a program with a space in its name, by way of a variable, in the user's own config": {
    at: 'my tools/text',
    prepare: () => {
      put(
        join(home, '.gitconfig'),
        `[diff "x"]\n\ttextconv = "\\"$HOME/../work/my tools/text\\""\n`,
      )
      put('.gitattributes', 'file diff=x\n')
      put('my tools/text', '#!/bin/sh\ncat "$1"\n')
      chmodSync(join(work, 'my tools/text'), 0o755)
    },
    plant: () => program('my tools/text'),
  },
  'a diff driver of the repository that lies in the workspace': {
    at: 'tools/diff',
    prepare: () => {
      git('config', 'diff.x.command', '"$(git rev-parse --show-toplevel)/tools/diff"')
      put('.gitattributes', '*.none diff=x\n')
      put('file.none', 'a')
      git('add', '.')
      put('file.none', 'b')
    },
    plant: () => program('tools/diff'),
  },
  'attributes in the index, without a file': {
    at: '.gitattributes',
    prepare: () => {
      git('config', 'diff.x.textconv', `touch ${mark()}; cat`)
      git('commit', '-q', '-a', '-m', 'two')
      put('file', 'three\n')
    },
    plant: () => {
      put('.gitattributes', 'file diff=x\n')
      git('add', '.gitattributes')
      rmSync(join(work, '.gitattributes'))
    },
  },
  'attributes in the index, with a link in the place of the file': {
    at: '.gitattributes',
    prepare: () => {
      git('config', 'diff.x.textconv', `touch ${mark()}; cat`)
      put('none', '')
    },
    plant: () => {
      put('.gitattributes', 'file diff=x\n')
      git('add', '.gitattributes')
      rmSync(join(work, '.gitattributes'))
      symlinkSync('none', join(work, '.gitattributes'))
    },
  },
  'attributes in an index in conflict, of which git takes one': {
    at: '.gitattributes',
    prepare: () => {
      git('config', 'diff.x.textconv', `touch ${mark()}; cat`)
      putInConflict('.gitattributes', ['# 1', '# 2', 'file diff=x'])
    },
    plant: () => putInConflict('.gitattributes', ['# 1', 'file diff=x', '# 2']),
  },
  'attributes in a split index, with another content than in the one it is based on': {
    at: '.gitattributes',
    prepare: () => {
      git('config', 'diff.x.textconv', `touch ${mark()}; cat`)
      git('update-index', '--add', '--cacheinfo', `100644,${blob('# one')},.gitattributes`)
      git('update-index', '--split-index')
    },
    plant: () => git('update-index', '--cacheinfo', `100644,${blob('file diff=x')},.gitattributes`),
  },
  "attributes by the name that the user's own have for others": {
    at: 'deep/.gitattributes',
    prepare: () => {
      git('config', 'diff.x.textconv', `touch ${mark()}; cat`)
      put(join(home, '.config/git/attributes'), '[attr]picture diff=x\n')
      put('deep/"quoted', 'one\n')
      git('add', '.')
      git('commit', '-q', '-m', 'two')
      put('deep/"quoted', 'two\n')
    },
    plant: () => put('deep/.gitattributes', '# one\n"\\"quot*" text picture\n'),
  },
  ...attributesBehindQuotes({
    'has a word right behind it': '"deep/a b"diff=x',
    'follows a byte order mark': '\xef\xbb\xbf"file"diff=x',
    'does not end': '"a diff=x',
    'ends behind a zero': '"a diff=x\0"',
    'has an escape that git does not know': String.raw`"\qa diff=x"`,
  }),
  'attributes of the repository': {
    at: '.git/info/attributes',
    prepare: () => git('config', 'diff.x.textconv', `touch ${mark()}; cat`),
    plant: () => put('.git/info/attributes', 'file diff=x\n'),
  },
  'attributes behind a link': {
    at: '.git/info/attributes',
    prepare: () => git('config', 'diff.x.textconv', `touch ${mark()}; cat`),
    plant: () => {
      put('a/attributes', 'file diff=x\n')
      rmSync(join(work, '.git/info'), { recursive: true })
      symlinkSync('../a', join(work, '.git/info'))
    },
  },
  'a commondir': {
    at: 'other/config',
    plant: () => {
      execFileSync('cp', ['-r', '.git', 'other'], { cwd: work })
      git('config', '-f', 'other/config', 'core.fsmonitor', command())
      put('.git/commondir', '../other')
    },
  },
  'a config whose name is no text, which another one includes': {
    at: '\\xe4\\xff',
    prepare: () => {
      put(
        '.git/config',
        Buffer.concat([
          readFileSync(join(work, '.git/config')),
          Buffer.from('[include]\n\tpath = "../\xe4\xff"\n', 'latin1'),
        ]),
      )
    },
    plant: () =>
      writeFileSync(
        Buffer.concat([Buffer.from(`${work}/`), Buffer.from('\xe4\xff', 'latin1')]),
        `[core]\n\tfsmonitor = "${command()}"\n`,
      ),
  },
  'a hook that runs when the index is written': {
    at: '.git/hooks/post-index-change',
    plant: () => program('.git/hooks/post-index-change'),
  },
  'a hook by core.hooksPath, behind a link': {
    at: 'real/hooks/post-index-change',
    prepare: () => {
      git('config', 'core.hooksPath', '.hooks')
      mkdirSync(join(work, 'real/hooks'), { recursive: true })
      symlinkSync('real/hooks', join(work, '.hooks'))
    },
    plant: () => program('real/hooks/post-index-change'),
  },
  "hooks by the user's own core.hooksPath": {
    at: 'dist/hooks/post-index-change',
    prepare: () => put(join(home, '.gitconfig'), '[core]\n\thooksPath = dist/hooks\n'),
    plant: () => program('dist/hooks/post-index-change'),
  },
  'a repository in the place of this one, by a file': {
    at: 'node_modules.git/config',
    plant: () => {
      renameSync(join(work, '.git'), join(work, 'node_modules.git'))
      git('config', '-f', 'node_modules.git/config', 'core.fsmonitor', command())
      put('.git', 'gitdir: node_modules.git\n')
    },
  },
}

const SUB = 'node_modules/a/b'

/** An index that names a submodule, and that git comes to by a link. */
for (const [name, { at, target }] of Object.entries({
  'out of the folder and in again': { at: `${SUB}/.git/config`, target: () => '../../work/idx' },
  'by way of the process': { at: '.git/index', target: () => `/proc/self/root${work}/idx` },
})) {
  plants[`a submodule of an index behind a link that leads ${name}`] = {
    at,
    plant: () => {
      const id = subRepository(SUB)
      git('-C', SUB, 'config', 'core.fsmonitor', command())
      addGitlink(SUB, id)
      renameSync(join(work, '.git/index'), join(work, 'idx'))
      symlinkSync(target(), join(work, '.git/index'))
    },
  }
}
plants['attributes in a folder of builds that has files of the repository'] = {
  at: 'dist/deep/.gitattributes',
  prepare: () => {
    git('config', 'diff.x.textconv', `touch ${mark()}; cat`)
    put('dist/deep/file', 'one\n')
    git('add', '-f', 'dist')
    git('commit', '-q', '-m', 'two')
    put('dist/deep/file', 'two\n')
  },
  plant: () => put('dist/deep/.gitattributes', 'file diff=x\n'),
}

/** A submodule in all forms of an index. */
for (const [name, rewrite] of Object.entries<() => unknown>({
  'version 2': () => git('update-index', '--index-version', '2'),
  'version 3': () => git('add', '-N', 'file.new'),
  'version 4': () => git('update-index', '--index-version', '4'),
  split: () => git('update-index', '--split-index'),
  'split, and replaced': () => {
    git('update-index', '--split-index')
    git('update-index', '--cacheinfo', `160000,${git('-C', SUB, 'rev-parse', 'HEAD')},${SUB}`)
  },
  sparse: () => git('sparse-checkout', 'set', '--cone', '--sparse-index', 'node_modules'),
})) {
  plants[`a submodule of an index of the form: ${name}`] = {
    at: `${SUB}/.git/config`,
    plant: () => {
      put('file.new', '')
      put('.gitignore', 'node_modules\n')
      const id = subRepository(SUB)
      git('-C', SUB, 'config', 'core.fsmonitor', command())
      addGitlink(SUB, id)
      rewrite()
    },
  }
}

plants['a submodule whose name is no text'] = {
  at: 's\\xff\\xfe/.git/config',
  plant: () => {
    const id = subRepository('sub')
    git('-C', 'sub', 'config', 'core.fsmonitor', command())
    const name = Buffer.from('s\xff\xfe', 'latin1')
    renameSync(join(work, 'sub'), Buffer.concat([Buffer.from(`${work}/`), name]))
    addGitlink(name, id)
  },
}
plants['a submodule in the folder that a sparse index has as a whole'] = {
  at: 'deep/sub/.git/config',
  prepare: () => {
    const id = subRepository('deep/sub')
    addGitlink('deep/sub', id)
    put('kept/file', 'a')
    git('add', 'kept')
    git('commit', '-q', '-m', 'two')
    git('sparse-checkout', 'set', '--cone', '--sparse-index', 'kept')
  },
  plant: () => {
    mkdirSync(join(work, 'deep/sub'), { recursive: true })
    git('-C', 'deep/sub', 'config', 'core.fsmonitor', command())
  },
}
plants['a submodule whose repository lies elsewhere, by a file'] = {
  at: 'dist/y/config',
  plant: () => {
    const id = subRepository('dist/x')
    renameSync(join(work, 'dist/x/.git'), join(work, 'dist/y'))
    put('dist/x/.git', 'gitdir: ../y\n')
    git('config', '-f', 'dist/y/config', 'core.fsmonitor', command())
    addGitlink('dist/x', id)
  },
}
plants['a submodule of a submodule'] = {
  at: 'node_modules/one/node_modules/two/.git/config',
  plant: () => {
    const id = subRepository('node_modules/one')
    const other = subRepository('node_modules/one/node_modules/two')
    git(
      '-C',
      'node_modules/one',
      'update-index',
      '--add',
      '--cacheinfo',
      `160000,${other},node_modules/two`,
    )
    git('-C', 'node_modules/one/node_modules/two', 'config', 'core.fsmonitor', command())
    addGitlink('node_modules/one', id)
  },
}

describe('what git runs on the host is reported, or said to be unread:', () => {
  test.each(Object.keys(plants))('%s', (name) => {
    repository()
    plants[name]?.prepare?.()
    expect(somethingRan()).toBe(false)
    const before = look()

    plants[name]?.plant()
    const report = reportOf(before.states, look())

    // Looked at before anything is run, which may remove its traces.
    expect(somethingRan()).toBe(true)
    expect(report?.paths.map(({ path }) => path)).toContain(plants[name]?.at)
  })

  test('a repository with sha256 has its submodules found', () => {
    git('init', '-q', '--object-format=sha256')
    const id = subRepositoryOf('sha256')
    const before = look()

    git('-C', SUB, 'config', 'core.fsmonitor', command())
    addGitlink(SUB, id)
    const report = reportOf(before.states, look())

    expect(somethingRan()).toBe(true)
    expect(report?.paths).toMatchObject([{ path: `${SUB}/.git/config`, kind: 'git' }])
  })

  test('a worktree is looked at with its own config', () => {
    repository()
    git('worktree', 'add', '-q', 'build/tree')
    const before = look()

    git('config', 'extensions.worktreeConfig', 'true')
    put('.git/worktrees/tree/config.worktree', `[core]\n\tfsmonitor = "${command()}"\n`)
    const report = reportOf(before.states, look())

    rmSync(mark(), { force: true })
    git('-C', 'build/tree', 'status')
    expect(existsSync(mark())).toBe(true)
    expect(report?.paths.map(({ path }) => path)).toEqual([
      '.git/config',
      '.git/worktrees/tree/config.worktree',
    ])
  })

  const subRepositoryOf = (format: string) => {
    git('init', '-q', `--object-format=${format}`, SUB)
    git('-C', SUB, 'commit', '-q', '--allow-empty', '-m', 'one')
    return git('-C', SUB, 'rev-parse', 'HEAD')
  }
})

test.each<[key: string, at: string, value: string]>([
  ['core.hooksPath', 'dist/a/post-checkout', '~/../work/dist/a'],
  ['init.templateDir', 'dist/a/hooks/post-checkout', '~/../work/dist/a'],
  ['core.fsmonitor', 'dist/a', '~/../work/dist/a'],
])('what your own %s names in a folder without a repository is reported', (key, at, value) => {
  git('config', '--global', key, value)
  const before = look()

  program(at)
  const report = reportOf(before.states, look())

  for (const args of [['init'], ['commit', '--allow-empty', '-m', 'one'], ['clone', '.', 'copy']]) {
    spawnSync('git', args, { cwd: home, env: env() })
  }
  expect(existsSync(mark())).toBe(true)
  expect(report?.paths.map(({ path }) => path)).toEqual([at])
})

test('what is in a template for repositories is reported', () => {
  git('config', '--global', 'init.templateDir', 'dist/a')
  const before = look()

  put('dist/a/config', `[core]\n\tfsmonitor = "${command()}"\n`)
  put('dist/a/info/attributes', '* diff=x\n')
  const report = reportOf(before.states, look())

  repository()
  expect(somethingRan()).toBe(true)
  expect(report?.paths.map(({ path }) => path)).toEqual(['dist/a/config', 'dist/a/info/attributes'])
})

test('of a worktree here as much is left out as of the folder itself', () => {
  repository()
  git('worktree', 'add', '-q', 'build/tree')
  const before = look()

  put('build/tree/node_modules/a/.envrc', 'x')
  put('build/tree/.envrc', 'x')
  const report = reportOf(before.states, look())

  expect(report?.paths.map(({ path }) => path)).toEqual(['build/tree/.envrc'])
})

test.each([
  ['.git/remotes/origin', 'URL: ./node_modules/a/far\nPush: refs/heads/main\n'],
  ['.git/branches/origin', './node_modules/a/far#main\n'],
])('where a push goes by way of %s is reported', (path, text) => {
  repository()
  git('init', '-q', '--bare', 'node_modules/a/far')
  program('node_modules/a/far/hooks/pre-receive')
  const before = look()

  put(path, text)
  const report = reportOf(before.states, look())

  rmSync(mark(), { force: true })
  git('push')
  expect(existsSync(mark())).toBe(true)
  expect(report?.paths.map(({ path }) => path)).toEqual([path])
})

test('the strategy of a rebase that is under way is reported', () => {
  repository()
  git('commit', '-q', '-a', '-m', 'two')
  git('checkout', '-q', '-b', 'topic', 'HEAD~1')
  put('other', 'a')
  git('add', 'other')
  git('commit', '-q', '-m', 'three')
  const edit = spawnSync('git', ['rebase', '-q', '-i', 'main'], {
    cwd: work,
    env: { ...env(), GIT_SEQUENCE_EDITOR: 'sed -i s/^pick/edit/' },
  })
  expect(edit.status).toBe(0)
  put('git-merge-x/file', '')
  program('tool')
  const before = look()

  put('.git/rebase-merge/strategy', 'x/../tool')
  put('.git/rebase-merge/git-rebase-todo', `pick ${git('rev-parse', 'main')}\n`)
  const report = reportOf(before.states, look())

  rmSync(mark(), { force: true })
  spawnSync('git', ['rebase', '--continue'], {
    cwd: work,
    env: { ...env(), GIT_EDITOR: 'true' },
    stdio: 'ignore',
  })
  expect(existsSync(mark())).toBe(true)
  expect(report?.paths.map(({ path }) => path)).toEqual([
    '.git/rebase-merge/git-rebase-todo',
    '.git/rebase-merge/strategy',
  ])
})

test.each([
  ['remote.origin.url', './node_modules/a/far.git'],
  ['remote.origin.url', './node_modules/a/far'],
  ['remote.origin.url', '~/../work/node_modules/a/far.git'],
  ['remote.origin.pushUrl', 'file://WORK/node%5fmodules/a/fa%72'],
  ['branch.main.remote', './node_modules/a/far'],
  ['branch.main.pushRemote', './node_modules/a/far'],
  ['remote.pushDefault', './node_modules/a/far'],
  ['remote.origin.url', './node_modules/a/far//'],
  ['remote.origin.url', 'file://localhostWORK/node_modules/a/far'],
])('hooks of the repository in this folder that %s names by %s are reported', (key, value) => {
  repository()
  git('init', '-q', '--bare', 'node_modules/a/far.git')
  git('config', 'branch.main.remote', 'origin')
  git('config', 'push.default', 'current')
  git('config', key, value.replace('WORK', work))
  const before = look()

  program('node_modules/a/far.git/hooks/pre-receive')
  const report = reportOf(before.states, look())

  git('push')
  expect(existsSync(mark())).toBe(true)
  expect(report?.paths.map(({ path }) => path)).toEqual([
    'node_modules/a/far.git/hooks/pre-receive',
  ])
})

test('hooks of a bare repository with an empty .git, and behind a file in its place, are reported', () => {
  repository()
  for (const name of ['far', 'real']) git('init', '-q', '--bare', `node_modules/a/${name}`)
  mkdirSync(join(work, 'node_modules/a/far/.git'))
  put('node_modules/a/file', 'gitdir: real\n')
  git('config', 'remote.one.url', './node_modules/a/far')
  git('config', 'remote.two.url', './node_modules/a/file')
  const before = look()

  for (const name of ['far', 'real']) program(`node_modules/a/${name}/hooks/pre-receive`)
  const report = reportOf(before.states, look())

  for (const name of ['one', 'two']) {
    rmSync(mark(), { force: true })
    git('push', name, 'HEAD:main')
    expect(existsSync(mark())).toBe(true)
  }
  expect(report?.paths.map(({ path }) => path)).toEqual([
    'node_modules/a/far/hooks/pre-receive',
    'node_modules/a/real/hooks/pre-receive',
  ])
})

test('a submodule of an index that can be read with ids of another length, too, is found', () => {
  repository()
  // Read with ids of 32 bytes, the byte pair in it is the flags of an entry, and the rest a name.
  const name = Buffer.from('dist/aaaaa\x0f\xffbb', 'latin1')
  const id = subRepository('dist/plain')
  git('-C', 'dist/plain', 'config', 'core.fsmonitor', command())
  renameSync(join(work, 'dist/plain'), Buffer.concat([Buffer.from(`${work}/`), name]))
  const index = Buffer.alloc(124)
  index.write('DIRC', 'latin1')
  index.writeUInt32BE(2, 4)
  index.writeUInt32BE(1, 8)
  index.writeUInt32BE(0o160000, 36)
  index.write(id, 52, 'hex')
  index.writeUInt16BE(name.length, 72)
  name.copy(index, 74)
  index.write('ZZZZ', 92, 'latin1')
  const before = look()

  writeFileSync(join(work, '.git/index'), index)
  const report = reportOf(before.states, look())

  git('status')
  expect(existsSync(mark())).toBe(true)
  expect(report).toBeDefined()
})

test.skipIf(process.getuid?.() === 0)(
  'a folder that can be entered and not listed is said to be unread',
  () => {
    repository()
    mkdirSync(join(work, 'hooks'))
    chmodSync(join(work, 'hooks'), 0o311)
    git('config', 'core.hooksPath', 'hooks')

    expect([...look().unread.keys()]).toContain('hooks')
  },
)

test.each(['node_modules/a', '.git/objects/aa'])(
  'a repository around the folder in %s that a link leads to is reported',
  (folder) => {
    repository()
    mkdirSync(join(work, folder, 'b/src'), { recursive: true })
    symlinkSync(`${folder}/b/src`, join(work, 'src'))
    const before = look()

    git('init', '-q', folder)
    git('-C', folder, 'config', 'core.fsmonitor', command())
    const report = reportOf(before.states, look())

    rmSync(mark(), { force: true })
    git('-C', 'src', 'status')
    expect(existsSync(mark())).toBe(true)
    expect(report?.paths.map(({ path }) => path)).toEqual([`${folder}/.git/config`])
  },
)

test('several plants at once are each found, whichever they are', () => {
  const names = Object.keys(plants).filter((name) => !/user's own|sparse|in the place/.test(name))
  const runs = isFull ? 300 : 5
  fc.assert(
    fc.property(fc.subarray(names, { minLength: 1, maxLength: 4 }), (chosen) => {
      rmSync(box, { recursive: true, force: true })
      for (const folder of [work, home]) mkdirSync(folder, { recursive: true })
      repository()
      const before = look()
      for (const name of chosen) {
        try {
          plants[name]?.prepare?.()
          plants[name]?.plant()
        } catch {
          // Git does not do it in this state; what is planted by then counts.
        }
      }

      const report = reportOf(before.states, look())

      if (somethingRan()) expect(report).toBeDefined()
    }),
    { numRuns: runs },
  )
}, 600_000)

test('what a sparse index has as a whole is said to be unread where it is there', () => {
  repository()
  put('deep/one/file', 'a')
  put('kept/file', 'a')
  git('add', 'deep', 'kept')
  git('commit', '-q', '-m', 'two')
  git('sparse-checkout', 'set', '--cone', '--sparse-index', 'kept')
  expect(git('ls-files', '--sparse').split('\n')).toContain('deep/')
  expect([...look().unread]).toEqual([])

  mkdirSync(join(work, 'deep'))

  expect([...look().unread]).toEqual([['deep', expect.stringContaining('sparse')]])
})

test('hard links to what tools can only read are found', () => {
  repository()
  linkSync(join(work, '.git/config'), join(work, 'innocent'))
  program('.git/hooks/pre-commit')
  linkSync(join(work, '.git/hooks/pre-commit'), join(work, 'too'))

  expect([...look().hardLinks].sort()).toEqual(['.git/config', '.git/hooks/pre-commit'])
})
