import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { LIMITS } from '../../host/outer/autorun/budget.ts'
import type { Findings } from '../../host/outer/autorun/findings.ts'
import { reportOf } from '../../host/outer/autorun/report.ts'
import { scan } from '../../host/outer/autorun/scan.ts'
import { isFull } from '../full-size.ts'

let work: string

beforeEach(() => {
  work = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-plants-')))
})

afterEach(() => rmSync(work, { recursive: true, force: true }))

function put(path: string, text = 'x'): string {
  const file = join(work, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
  return file
}

/** The paths that are reported as changed when `act` has happened in between. */
function changedBy(act: () => unknown): string[] {
  return changesBy(act).map(({ path }) => path)
}

function changesBy(act: () => unknown) {
  const before = scan(work)
  act()
  return changes(before, scan(work))
}

function changes(before: Findings, after: Findings) {
  const paths = reportOf(before.states, after)?.paths ?? []
  return paths.filter(({ kind }) => kind !== 'unread').sort(byPath)
}

const byPath = (one: { path: string }, other: { path: string }) => (one.path < other.path ? -1 : 1)

/** What is said to be unread. */
const unread = () => Object.fromEntries(scan(work).unread)

const git = (...args: string[]) =>
  execFileSync('git', ['-c', 'user.name=me', '-c', 'user.email=me@localhost', ...args], {
    cwd: work,
    stdio: ['ignore', 'pipe', 'ignore'],
    encoding: 'utf8',
  })

test.each([
  '.envrc',
  '.env',
  '.npmrc',
  '.bashrc',
  '.zshenv',
  '.gdbinit',
  '.pdbrc',
  '.Rprofile',
  'AGENTS.md',
  'CLAUDE.md',
  '.mcp.json',
  '.pre-commit-config.yaml',
  '.gitlab-ci.yml',
  '.husky/pre-commit',
  '.vscode/tasks.json',
  '.vscode/settings.json',
  'project.code-workspace',
  '.idea/runConfigurations/all.xml',
  '.idea/startup.xml',
  '.devcontainer/devcontainer.json',
  '.devcontainer.json',
  '.github/workflows/ci.yml',
  '.claude/settings.json',
  '.cursor/rules/all.mdc',
  '.cargo/config.toml',
  'packages/one/.envrc',
  'packages/one/.vscode/tasks.json',
  '.claude/worktrees/a/.envrc',
  '.git/hooks/post-checkout',
  '.git/commondir',
])('%s is reported when it is new, and when it is changed, with why', (path) => {
  expect(changesBy(() => put(path))).toEqual([
    { path, why: expect.stringMatching(/^\w.+ \w.+[^.]$/), kind: expect.any(String) },
  ])
  expect(changedBy(() => put(path, 'y'))).toEqual([path])
  expect(changedBy(() => rmSync(join(work, path)))).toEqual([])
})

test.each([
  'src/main.ts',
  'Makefile',
  'README.md',
  '.idea/workspace.xml',
  '.git/hooks/pre-commit.sample',
  '.git/index',
  '.editorconfig',
  'node_modules/a/.envrc',
  '.claude/worktrees/a/src/main.ts',
])('%s is not', (path) => {
  expect(changedBy(() => put(path))).toEqual([])
})

test('the same bytes, written anew or touched, are no change', () => {
  const file = put('.envrc', 'export A=1')

  expect(changedBy(() => put('.envrc', 'export A=1'))).toEqual([])
  expect(changedBy(() => utimesSync(file, 0, 0))).toEqual([])
})

test('a hook that only becomes executable is a change', () => {
  const hook = put('.git/hooks/pre-commit', '#!/bin/sh')
  chmodSync(hook, 0o644)

  expect(changedBy(() => chmodSync(hook, 0o755))).toEqual(['.git/hooks/pre-commit'])
})

test('of a .gitattributes what can choose a program is reported', () => {
  put('.gitattributes', '*.a text\n')
  const usual =
    '# a note\n\n* text=auto eol=lf\n"with space" -text !diff -merge -filter\n*.png binary\n*.sh\n' +
    'x linguist-generated=true gitlab-language=c export-ignore whitespace=fix,-indent lockable\r\n'

  expect(changedBy(() => put('.gitattributes', usual))).toEqual([])
  for (const line of [
    '*.a filter=x',
    '*.a text diff=x',
    '[attr]a merge=x',
    '"a b" a',
    ' *.a\tb=c',
  ]) {
    expect(changedBy(() => put('.gitattributes', `${usual}${line}\n`))).toEqual(['.gitattributes'])
    put('.gitattributes', usual)
  }
})

test('of a Cargo.toml what names a program that cargo runs is reported', () => {
  put('Cargo.toml', '[package]\nname = "a"\n')

  expect(changedBy(() => put('Cargo.toml', '[package]\nname = "b"\n'))).toEqual([])
  expect(changedBy(() => put('Cargo.toml', '[package]\nbuild = "src/x.rs"\n'))).toEqual([
    'Cargo.toml',
  ])
  expect(changedBy(() => put('Cargo.toml', '[lib]\nproc-macro = true\n'))).toEqual(['Cargo.toml'])
})

test('a Makefile is reported where make runs something of it without making anything', () => {
  expect(changedBy(() => put('Makefile', 'all:\n\techo\n'))).toEqual([])
  expect(changedBy(() => put('Makefile', 'X := $(shell id)\n'))).toEqual(['Makefile'])
})

describe('of a package.json', () => {
  const scripts = (scripts: object) => put('package.json', JSON.stringify({ scripts }))

  test.each(['preinstall', 'postinstall', 'prepare'])('the script %s is reported', (name) => {
    scripts({ test: 'vitest' })

    expect(changedBy(() => scripts({ test: 'vitest', [name]: 'curl x | sh' }))).toEqual([
      'package.json',
    ])
  })

  test('what runs by its name is not, nor the dependencies', () => {
    scripts({ prepare: 'husky' })

    const act = () =>
      put('package.json', '{"scripts":{"prepare":"husky","test":"x"},"version":"2"}')

    expect(changedBy(act)).toEqual([])
  })

  test('a config of a tool is reported, also of one that is not known', () => {
    scripts({})

    expect(changedBy(() => put('package.json', '{"scripts":{},"of-tomorrow":"./x.js"}'))).toEqual([
      'package.json',
    ])
  })

  test.each(['[]', 'null', '{"scripts":7}', '{"scripts":null}', '7'])(
    'an odd one has nothing to run: %s',
    (text) => expect(changedBy(() => put('package.json', text))).toEqual([]),
  )

  test('one that is no JSON is reported as a whole', () => {
    expect(changedBy(() => put('package.json', '{"scripts":{"prepare":"x",}}'))).toEqual([
      'package.json',
    ])
  })
})

describe('of a git config', () => {
  const usual =
    '[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n' +
    '[remote "origin"]\n\turl = git@host:a/b.git\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n' +
    '[branch "main"]\n\tremote = origin\n\tmerge = refs/heads/main\n[user]\n\tname = Me\n'

  test.each([
    '[core]\n\tfsmonitor = ./x',
    '[CORE]\n\tFsMonitor=./x',
    '[core] fsmonitor = ./x',
    '[core]fsmonitor=./x',
    '[core]\n\tsshCommand = ./x',
    '[core]\n\thooksPath = .x',
    '[core]\n\tpager = ./x',
    '[core]\n\tworktree = ..',
    '[alias]\n\tst = !./x',
    '[filter "a"]\n\tclean = ./x',
    '[filter.a]\n\tclean = ./x',
    '[diff "a"]\n\ttextconv = ./x',
    '[diff]\n\texternal = ./x',
    '[include]\n\tpath = ../x',
    '[includeIf "gitdir:/"]\n\tpath = ../x',
    '[credential]\n\thelper = ./x',
    '[gpg]\n\tprogram = ./x',
    '[something]\n\tof-tomorrow = ./x',
    '[submodule "a"]\n\tupdate = !./x',
    '[remote "a"]\n\turl = ext::./x',
    '[remote "a"]\n\tuploadpack = ./x',
    '[user]\n\tname = a\\\n[core]\n\tfsmonitor = ./x',
    '[user]\n\tname = "a\n',
    '[core]\n\tfilemode = true # \\\n\tfsmonitor = ./x',
    '; \\\n[core]\n\tfsmonitor = ./x',
    '\r[core]\r\n\tfsmonitor = ./x\r',
    '[co',
  ])('%j is reported', (lines) => {
    put('.git/config', usual)

    expect(changedBy(() => put('.git/config', usual + lines))).toEqual(['.git/config'])
  })

  test('what cannot run anything is not reported', () => {
    put('.git/config', usual)

    const act = () =>
      put('.git/config', `${usual}[branch "x"]\n\tremote = .\n[user]\n\temail = a@b\n# a note\n`)

    expect(changedBy(act)).toEqual([])
  })

  test('nothing is reported of a repository that was just made, cloned or worked in', () => {
    const act = () => {
      git('init')
      git('init', 'sub')
      put('file')
      git('add', 'file')
      git('commit', '-m', 'first')
      git('branch', 'other')
      git('clone', '.', 'copy')
    }

    expect(changedBy(act)).toEqual([])
  })

  test('hooks that lie elsewhere in the workspace are looked at where the config says', () => {
    git('init')
    git('config', 'core.hooksPath', 'tools/a/b/c/d/e/hooks')
    const hook = 'tools/a/b/c/d/e/hooks/pre-commit'
    put(hook)

    expect(changedBy(() => put(hook, 'y'))).toEqual([hook])
  })
})

test.each(['../tools/git/config', '../settings', '"../with space"'])(
  'a part of a git config that lies in the workspace is looked at: %s',
  (path) => {
    const part = path.replaceAll('"', '').replace('../', '')
    put('.git/config', `[include]\n\tpath = ${path}\n`)
    put(part, '[user]\n\tname = me')

    expect(changedBy(() => put(part, '[core]\n\tfsmonitor = ./x'))).toEqual([part])
  },
)

describe('a repository that git finds by itself', () => {
  test('below the workspace is reported with what runs from it', () => {
    const act = () => {
      git('init', 'sub')
      git('-C', 'sub', 'config', 'core.fsmonitor', './x')
    }

    expect(changedBy(act)).toEqual(['sub/.git/config'])
  })

  test('without a .git is, too', () => {
    const act = () => {
      git('init', '--bare', 'data')
      git('-C', 'data', 'config', 'core.fsmonitor', './x')
    }

    expect(changedBy(act)).toEqual(['data/config'])
  })

  test('in two halves, of which none looks like one, is too', () => {
    const lines = ['[extensions]', 'worktreeConfig = true', '[core]', 'repositoryformatversion = 1']
    put('docs/HEAD', 'ref: refs/heads/main\n')
    put('x/config', [...lines, 'bare = false', 'fsmonitor = "touch ran; false"', ''].join('\n'))
    for (const name of ['objects', 'refs']) mkdirSync(join(work, 'x', name))
    const act = () => {
      put('docs/config.worktree', `[core]\n\tworktree = ${work}/docs\n`)
      put('docs/commondir', '../x\n')
    }

    expect(changedBy(act)).toEqual(['docs/commondir', 'docs/config.worktree', 'x/config'])
    git('-C', 'docs', 'status')
    expect(existsSync(join(work, 'docs/ran'))).toBe(true)
  })

  test('does not have folders in "objects" left out that git does not have there', () => {
    for (const name of ['HEAD', 'refs/x']) put(name)

    expect(changedBy(() => put('objects/app/.envrc'))).toEqual(['objects/app/.envrc'])
  })

  test('or elsewhere, where a .git file or link leads to it', () => {
    put('a/.git', 'gitdir: ../evil')
    mkdirSync(join(work, 'b'))
    symlinkSync('../evil', join(work, 'b', '.git'))
    const before = scan(work)

    put('a/.git', 'gitdir: ../worse')

    expect(changes(before, scan(work))).toMatchObject([{ path: 'a/.git' }])
    expect([...before.found.values()].map(({ path }) => path).sort()).toEqual(['a/.git', 'b/.git'])
  })

  test('does not keep the rest of the workspace from being looked at', () => {
    const act = () => {
      for (const path of ['HEAD', 'config', 'objects/x', 'refs/x', '.envrc']) put(path, '')
    }

    expect(changedBy(act)).toEqual(['.envrc'])
  })
})

describe('a link', () => {
  const link = (target: string, name = 'link') => symlinkSync(target, join(work, name))

  test.each(['/etc', '/etc/shadow', '..', '../x', 'a/../../x', '/workspace/x', '/nowhere'])(
    'to %s leads out of the workspace and is reported',
    (target) => {
      expect(changesBy(() => link(target))).toMatchObject([
        { path: 'link', why: expect.stringContaining('link out of the workspace') },
      ])
    },
  )

  test('that leads out by way of another one is reported', () => {
    put('a/b/c/file')
    link('a/b/c', 'into')

    expect(changedBy(() => link('into/../../../../x'))).toEqual(['link'])
    expect(changedBy(() => link('a/b/c/../../..', 'dots'))).toEqual([])
    expect(
      changedBy(() => {
        link('a/b', 'short')
        link('short/../../..', 'far')
      }),
    ).toEqual(['far'])
  })

  test.each(['src', './src', 'a/../src', 'missing', 'link'])('to %s does not', (target) => {
    mkdirSync(join(work, 'src'))

    expect(changedBy(() => link(target))).toEqual([])
  })

  test.each(['.envrc', '.git'])('in the place of %s is reported', (name) => {
    put('src/file')

    expect(changedBy(() => link('src', name))).toEqual([name])
  })

  test.each(['.vscode', '.husky', '.git/hooks'])(
    'in the place of the folder %s is reported with the files that it leads to',
    (name) => {
      mkdirSync(join(work, '.git'))
      put('src/pre-commit')

      expect(changedBy(() => symlinkSync(join(work, 'src'), join(work, name)))).toEqual([
        name,
        'src/pre-commit',
      ])
      expect(changedBy(() => put('src/pre-commit', 'y'))).toEqual(['src/pre-commit'])
      expect(changedBy(() => put('other', 'y'))).toEqual([])
    },
  )

  test('in the place of the folder that the config names for hooks is followed', () => {
    git('init')
    git('config', 'core.hooksPath', 'hooks')
    put('src/pre-commit')
    link('src', 'hooks')

    expect(changedBy(() => put('src/pre-commit', 'y'))).toEqual(['src/pre-commit'])
  })

  test.each([
    ['.envrc', 'settings/envrc'],
    ['.git/hooks/pre-commit', '../../tools/pre-commit'],
  ])('in the place of the file %s is reported when what it leads to changes', (name, target) => {
    mkdirSync(join(work, '.git/hooks'), { recursive: true })
    const path = target.replaceAll('../', '')
    put(path)
    link(target, name)

    expect(changedBy(() => put(path, 'y'))).toEqual([name])
    expect(changedBy(() => put(path, 'y'))).toEqual([])
  })

  test.each(['node_modules/app', 'dist/a/b', '.git/app', '.git/objects/ab', 'r/objects/ab'])(
    'into %s, which is left out, makes that a folder like any other',
    (folder) => {
      git('init')
      for (const name of ['r/HEAD', 'r/refs/x']) put(name)
      put(`${folder}/.envrc`)
      link(folder, 'app')
      const run = [`${folder}/.envrc`, `${folder}/sub/.git/config`]

      const act = () => {
        put(`${folder}/.envrc`, 'y')
        put(`${folder}/sub/.git/config`, '[core]\n\tfsmonitor = ./x\n')
        put(`${folder}/sub/node_modules/a/.envrc`)
      }

      expect(changedBy(act)).toEqual(run)
    },
  )

  test('that has the name of what is left out is not followed', () => {
    put('node_modules/.store/a/.envrc')
    link('.store/a', 'node_modules/a')
    mkdirSync(join(work, 'app'))
    link('../node_modules', 'app/node_modules')

    expect(changedBy(() => put('node_modules/.store/a/.envrc', 'y'))).toEqual([])
  })

  test('in a circle harms nobody', () => {
    link('b', 'a')
    link('a', 'b')
    link('.', '.vscode')
    mkdirSync(join(work, 'deep'))
    symlinkSync('..', join(work, 'deep', 'up'))

    expect(unread()).toEqual({})
  })
})

describe('hostile things in the place of a file', () => {
  test.skipIf(process.platform === 'win32')('a FIFO does not hold us', () => {
    const act = () => execFileSync('mkfifo', [join(work, '.envrc'), join(work, 'package.json')])

    expect(changedBy(act).sort()).toEqual(['.envrc', 'package.json'])
  })

  test('a sparse file of a terabyte is told by its size and times', () => {
    put('.envrc')

    expect(changedBy(() => truncateSync(join(work, '.envrc'), 2 ** 40))).toEqual(['.envrc'])
    expect(changedBy(() => {})).toEqual([])
    expect(changedBy(() => utimesSync(join(work, '.envrc'), 1, 1))).toEqual(['.envrc'])
  })

  test('a folder of that name is none', () => {
    expect(changedBy(() => mkdirSync(join(work, '.envrc')))).toEqual([])
  })

  test.skipIf(process.platform === 'win32')('names come out as they are', () => {
    const name = 'a\n\x1b[2J\u202e'

    expect(changedBy(() => put(`${name}/.envrc`))).toEqual([`${name}/.envrc`])
  })

  test('names that mean something to JavaScript mean nothing here', () => {
    expect(
      changedBy(() => {
        put('constructor')
        put('__proto__/toString/hasOwnProperty')
      }),
    ).toEqual([])
  })
})

describe('a large workspace', () => {
  /** Files that say nothing, made by a program of their own, which is quicker. */
  function flood(folder: string, count: number): void {
    mkdirSync(folder, { recursive: true })
    execFileSync(process.execPath, [
      '-e',
      `const fs = require('node:fs')
        const [folder, count] = process.argv.slice(1)
        for (let i = 0; i < count; i++) fs.closeSync(fs.openSync(folder + '/aa' + i, 'w'))`,
      folder,
      String(count),
    ])
  }

  test('of 10 000 files is looked at in 50 ms on a machine that is idle', () => {
    for (let i = 0; i < 10; i++) flood(join(work, `packages/p${i}/src/deep`), 1000)
    const tookMs = () => {
      const startedAt = performance.now()
      expect(unread()).toEqual({})
      return performance.now() - startedAt
    }

    // Of several, because tests share the machine with others.
    expect(Math.min(...Array.from({ length: 10 }, tookMs))).toBeLessThan(50)
  })

  test('the well-known names are found among a flood of files, in bounded time', () => {
    flood(work, isFull ? 100_000 : 12_000)
    const before = scan(work)

    put('.envrc')
    put('.vscode/tasks.json')
    put('.git/hooks/pre-commit')
    const startedAt = performance.now()
    const after = scan(work)

    expect(performance.now() - startedAt).toBeLessThan(2000)
    expect(changes(before, after).map(({ path }) => path)).toEqual([
      '.envrc',
      '.git/hooks/pre-commit',
      '.vscode/tasks.json',
    ])
  })

  test('folders that matter are looked into before any number of others', () => {
    for (let i = 0; i < 1100; i++) mkdirSync(join(work, `packages/p${i}`), { recursive: true })

    const act = () => {
      for (let i = 0; i < 1100; i++) mkdirSync(join(work, `a${i}`))
      for (const path of ['.vscode/tasks.json', '.husky/pre-commit', '.cargo/config']) put(path)
    }

    expect(changedBy(act)).toEqual(['.cargo/config', '.husky/pre-commit', '.vscode/tasks.json'])
  })

  test('is said to be so in every look, with what the bound was', () => {
    flood(join(work, 'src'), 50)
    put('.envrc')
    const limits = { ...LIMITS, entries: 40 }

    const looks = [scan(work, { limits }), scan(work, { limits })]

    for (const { unread, found, isCutShort } of looks) {
      expect(Object.fromEntries(unread)).toEqual({
        '.': 'the look was cut short: there are more than 40 entries',
      })
      expect(isCutShort).toBe(true)
      expect([...found.values()]).toMatchObject([{ path: '.envrc' }])
    }
  })

  test('counts the work trees that a git config names, for each of its entries', () => {
    const trees = Array.from({ length: 100 }, (_, i) => `w${i}`)
    for (const name of trees) mkdirSync(join(work, '.git', name), { recursive: true })
    const lines = [...Array(5000).fill('x ='), ...trees.map((name) => `worktree = ${name}`)]
    put('.git/config', `[core]\n${lines.join('\n')}\n`)

    const { unread } = scan(work, { limits: { ...LIMITS, ms: 60_000, steps: 200_000 } })

    expect(unread.get('.')).toBe('the look was cut short: there are more than 200000 steps')
  })
})

test.each([
  ['brackets in brackets', 'package.json', `{"x":${'['.repeat(9_999)}${']'.repeat(9_999)}}`],
  ['a long path', '.git/config', `[core]\n\thooksPath = ${'/'.repeat(900_000)}\n`],
  ['a long path to another half', '.git/commondir', `${'./'.repeat(450_000)}../half\n`],
])('%s end no look', (_what, path, text) => {
  put('half/config', '[core]\n\tfsmonitor = x\n')
  expect(changedBy(() => put(path, text))).toContain(path)

  expect(changedBy(() => put('half/config', '[core]\n\tfsmonitor = y\n'))).toEqual(
    path.endsWith('commondir') ? ['half/config'] : [],
  )
  expect([...scan(work).unread]).toEqual([])
})

test('a workspace that is gone, or none, fails nothing', () => {
  rmSync(work, { recursive: true })

  expect(unread()).toEqual({ '.': 'it is no longer there' })
  writeFileSync(work, '')
  expect(scan(work).found.size).toBe(0)
})
