import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { gitOutsideNotice } from '../../host/workspace/git-outside.ts'

let root: string
const at = (path: string) => join(root, path)

/** As git makes them: a repository with a submodule and a worktree. */
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-outside-')))
  const git = (folder: string, ...args: string[]) =>
    execFileSync('git', ['-C', at(folder), '-c', 'protocol.file.allow=always', ...args], {
      stdio: 'pipe',
      env: {
        PATH: process.env.PATH,
        HOME: root,
        GIT_AUTHOR_NAME: 'a',
        GIT_AUTHOR_EMAIL: 'a@b.c',
        GIT_COMMITTER_NAME: 'a',
        GIT_COMMITTER_EMAIL: 'a@b.c',
      },
    })
  git('.', 'init', '-q', 'main')
  git('main', 'commit', '-q', '--allow-empty', '-m', '1')
  git('main', 'worktree', 'add', '-q', '../tree')
  git('.', 'init', '-q', 'top')
  git('top', 'submodule', '-q', 'add', '../main', 'lib')
  git('.', 'init', '-q', '--separate-git-dir', at('apart/.store'), 'apart')
  mkdirSync(at('main/pkg/deep'), { recursive: true })
  mkdirSync(at('linked'))
  symlinkSync('../main/.git', at('linked/.git'))
  mkdirSync(at('moved/.store'), { recursive: true })
  symlinkSync(at('moved/.store'), at('moved/.git'))
  git('.', 'clone', '-q', '--shared', 'main', 'shared')
  git('.', 'clone', '-q', 'main', 'whole')
  mkdirSync(at('plain'))
  mkdirSync(at('own/.store'), { recursive: true })
  writeFileSync(at('own/.git'), 'gitdir: .store\n')
})

afterEach(() => rmSync(root, { recursive: true, force: true }))

test.each([
  ['tree', 'is a linked worktree', 'main/.git/worktrees/tree'],
  ['top/lib', 'is a submodule', 'top/.git/modules/lib'],
  ['main/pkg', 'is a folder of a larger repository', 'main'],
  ['main/pkg/deep', 'is a folder of a larger repository', 'main'],
  ['linked', 'has a link as its .git', 'main/.git'],
  ['apart', 'has its repository elsewhere', 'apart/.store'],
  ['moved', 'has a link as its .git', 'moved/.store'],
  ['shared', 'borrows objects of another repository', 'main/.git/objects'],
])('it is told why git does not work in %s', (workspace, is, repository) => {
  expect(gitOutsideNotice(at(workspace))).toContain(
    `the workspace ${is}, and the repository (${at(repository)}) is not handed in`,
  )
})

test('a .git that is a link at one moment and a folder at the next ends nothing', async () => {
  const swap = `
    const { renameSync } = require('node:fs')
    for (;;) {
      renameSync('.git', 'folder'); renameSync('link', '.git')
      renameSync('.git', 'link'); renameSync('folder', '.git')
    }`
  symlinkSync('elsewhere', at('whole/link'))
  const swapping = spawn(process.execPath, ['-e', swap], { cwd: at('whole') })
  try {
    await vi.waitFor(() => expect(existsSync(at('whole/folder'))).toBe(true), { interval: 0 })

    const end = performance.now() + 1000
    while (performance.now() < end) gitOutsideNotice(at('whole'))

    expect(swapping.exitCode).toBeNull()
  } finally {
    swapping.kill('SIGKILL')
    await once(swapping, 'exit')
  }
})

test.each(['main', 'top', 'plain', 'own', 'whole'])(
  'nothing is told where it does, or there is none: %s',
  (workspace) => {
    expect(gitOutsideNotice(at(workspace))).toBeUndefined()
  },
)
