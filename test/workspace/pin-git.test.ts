import { execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import { reportOf } from '../../host/outer/autorun/report.ts'
import { scan } from '../../host/outer/autorun/scan.ts'
import { type MountSource, releaseSources } from '../../host/workspace/mount-source.ts'
import { holdWorkspace, openWorkspace } from '../../host/workspace/open-workspace.ts'
import { type Pin, pinGit } from '../../host/workspace/pin-git.ts'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'
import { shellInContainer } from './shell-in-container.ts'

let box: string
let work: string

beforeEach(() => {
  box = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-pin-')))
  work = join(box, 'work')
  mkdirSync(work)
})

const held: MountSource[] = []

afterEach(() => {
  releaseSources(held.splice(0))
  rmSync(box, { recursive: true, force: true })
})

/** Git as the user runs it on this machine, without settings of this machine. */
function git(...args: string[]): string {
  return execFileSync('git', ['-c', 'user.name=me', '-c', 'user.email=me@localhost', ...args], {
    cwd: work,
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    env: { PATH: process.env.PATH, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' },
  })
}

function repository(): void {
  git('init', '-b', 'main')
  writeFileSync(join(work, 'file'), 'one\n')
  git('add', 'file')
  git('commit', '-m', 'one')
}

const open = () => openWorkspace(work, join(box, 'data'))
const pinned = () => pins().map(({ at, readOnly }) => `${readOnly ? 'ro' : 'rw'} ${at}`)

function pins(): Pin[] {
  const workspace = holdWorkspace(open())
  held.push(workspace)
  const found = pinGit(workspace)
  held.push(...found)
  return found
}

describe('what is pinned', () => {
  const ALL = [
    'rw .git',
    'ro .git/hooks',
    'ro .git/config',
    'ro .git/config.worktree',
    'ro .git/modules',
    'ro .git/worktrees',
  ]

  test('of a repository: itself, its hooks and config, and what of submodules and worktrees is in it', () => {
    repository()
    git('worktree', 'add', '../elsewhere')
    git('config', 'extensions.worktreeConfig', 'true')

    expect(pinned()).toEqual(ALL)
  })

  test('what is missing of it is made, empty, which git does not mind', () => {
    repository()
    rmSync(join(work, '.git/hooks'), { recursive: true })

    expect(pinned()).toEqual(ALL)
    for (const name of ['hooks', 'modules', 'worktrees'])
      expect(readdirSync(join(work, '.git', name))).toEqual([])
    expect(lstatSync(join(work, '.git/config.worktree')).size).toBe(0)
    expect(git('status', '--porcelain')).toBe('')
    expect(git('fsck')).toBe('')
    expect(git('worktree', 'list').trim().split('\n')).toHaveLength(1)
    git('gc', '-q')
    expect(pinned()).toEqual(ALL)
  })

  test.skipIf(process.getuid?.() === 0)('a part that cannot be looked at ends the start', () => {
    repository()
    chmodSync(join(work, '.git'), 0)
    try {
      expect(pins).toThrow(/\.git\/hooks in the workspace cannot be looked at \(EACCES/)
    } finally {
      chmodSync(join(work, '.git'), 0o755)
    }
  })

  test('of a worktree: the file that says where its repository is', () => {
    writeFileSync(join(work, '.git'), 'gitdir: /elsewhere')

    expect(pinned()).toEqual(['ro .git'])
  })

  test('nothing where there is no repository, and none is made', () => {
    expect(pinned()).toEqual([])
    expect(readdirSync(work)).toEqual([])
  })

  test('what is made belongs to the owner of the repository', () => {
    repository()
    rmSync(join(work, '.git/hooks'), { recursive: true })
    if (process.getuid?.() === 0) chownSync(join(work, '.git'), 1234, 5678)

    pins()

    for (const name of ['hooks', 'modules', 'worktrees', 'config.worktree']) {
      expect(lstatSync(join(work, '.git', name)).uid).toBe(lstatSync(join(work, '.git')).uid)
    }
  })

  test.runIf(process.getuid?.() === 0)(
    'nothing of root is given away that another has put there',
    () => {
      repository()
      writeFileSync(join(work, '.git/of-root'), 'secret', { mode: 0o600 })
      rmSync(join(work, '.git/hooks'), { recursive: true })
      chownSync(join(work, '.git'), 1234, 5678)
      const swap = spawn('python3', ['-c', SWAP, join(work, '.git')], { stdio: 'ignore' })
      try {
        const until = performance.now() + 2000
        while (performance.now() < until) {
          try {
            rmdirSync(join(work, '.git/hooks'))
          } catch {
            // The file is there at this moment.
          }
          pins()
          releaseSources(held.splice(0))
        }
      } finally {
        swap.kill('SIGKILL')
      }
      for (const name of readdirSync(join(work, '.git'))) {
        const stats = lstatSync(join(work, '.git', name))
        if (stats.isFile() && stats.size === 'secret'.length) expect(stats.uid).toBe(0)
      }
    },
    60_000,
  )

  test.each(['.git', '.git/hooks', '.git/config'])(
    '%s is not when it is a link: the engine would mount what it leads to',
    (path) => {
      repository()
      rmSync(join(work, path), { recursive: true })
      symlinkSync('/etc', join(work, path))

      expect(pinned().filter((pin) => pin.endsWith(` ${path}`))).toEqual([])
    },
  )

  test('all of it is known by device and inode, to see that it was not replaced', () => {
    repository()

    for (const { path, identity } of pins()) {
      const { dev, ino } = lstatSync(path)
      expect(identity).toBe(`${dev}:${ino}`)
    }
  })
})

/** Puts a file of another owner in the place of hooks, and back. */
const SWAP = `
import ctypes, sys
libc = ctypes.CDLL(None)
hooks, other = [(sys.argv[1] + name).encode() for name in ('/hooks', '/of-root')]
while True: libc.syscall(316, -100, hooks, -100, other, 2)
`

describeWithEngine('in a container, a tool', ({ docker, image, source }) => {
  afterAll(() => withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] }))

  /** What `script` prints when a tool runs it in the workspace, with the repository pinned. */
  const inContainer = (script: string) =>
    shellInContainer(dockerEngine(docker, image, source), { workspace: work, pinGit: true }, script)

  const CANARY = `printf '#!/bin/sh\\ntouch ../canary\\n' > /tmp/canary; chmod +x /tmp/canary
    say() { "$@" > /dev/null 2>&1 && echo "done: $*" || echo "refused: $*"; }`

  /** Whatever a person may do first, on the host. Whether something ran then. */
  function canaryFires(): boolean {
    for (const command of ['status', 'diff', 'log', 'add file', 'commit -m x', 'checkout -b x']) {
      try {
        git(...command.split(' '))
      } catch {
        // There may be nothing to commit; what matters is whether something ran.
      }
    }
    return existsSync(join(box, 'canary'))
  }

  test('cannot plant hooks or settings, nor put another repository in the place of this one', async () => {
    repository()

    const printed = await inContainer(`${CANARY}
      say cp /tmp/canary .git/hooks/pre-commit
      say cp /tmp/canary .git/hooks/post-checkout
      say git config core.fsmonitor 'touch ../canary; false #'
      say git config core.hooksPath /tmp
      say sh -c 'echo "[core] fsmonitor = x" >> .git/config'
      say cp .git/config .git/c
      say mv .git/c .git/config
      say mv .git .git2
      say mv .git/hooks .git/hooks2
      say rm -rf .git/hooks
      say rm -f .git/config
      say ln -sfn /tmp .git/hooks
      say umount .git/hooks
      say chmod 777 .git/hooks`)

    expect(printed.split('\n').filter((line) => !line.startsWith('refused'))).toEqual([
      'done: cp .git/config .git/c',
    ])
    expect(canaryFires()).toBe(false)
  })

  test('without the pins, the same plants fire (the control)', async () => {
    repository()

    await shellInContainer(
      dockerEngine(docker, image, source),
      { workspace: work, pinGit: false },
      `${CANARY}\ncp /tmp/canary .git/hooks/post-checkout`,
    )

    expect(canaryFires()).toBe(true)
  })

  test('works with git as ever: add, commit, branch, merge, stash, tag, gc', async () => {
    repository()

    const printed = await inContainer(`set -e
      export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
      git config --global user.name agent; git config --global user.email agent@localhost
      echo two >> file; git add file; git commit -qm two
      git checkout -qb side; echo three >> file; git commit -qam three
      git checkout -q main; git merge -q side; git branch -d side
      echo four >> file; git stash -q; git stash pop -q; git checkout -q file
      git tag v1; git gc -q; git fsck; git status --short; git log --oneline | wc -l
      git config user.email x || echo "config: $?"`)

    expect(printed).toMatch(/^3$/m)
    expect(printed).toMatch(/could not (write|lock) config file .git\/config/)
    expect(git('log', '--format=%an', '-1').trim()).toBe('a')
    expect(git('status', '--short')).toBe('')
  })

  test('may make a repository of its own, and what could run from it is reported', async () => {
    const before = scan(work)

    const printed = await inContainer(`git init -q -b main . && git config user.name a &&
      git -c user.email=a@b commit -q --allow-empty -m one && git log --format=%s
      git config core.fsmonitor 'touch ../canary; false #'`)

    expect(printed).toBe('one')
    expect(reportOf(before.states, scan(work))?.paths.map(({ path }) => path)).toEqual([
      '.git/config',
    ])
  })

  test('can lead git elsewhere by a way that cannot be closed, which is reported', async () => {
    repository()
    const before = scan(work)

    await inContainer(`cp -r .git other; echo '[core] fsmonitor = "touch ../canary; false #"' >> other/config
      printf ../other > .git/commondir`)

    expect(canaryFires()).toBe(true)
    expect(reportOf(before.states, scan(work))?.paths.map(({ path }) => path)).toEqual([
      '.git/commondir',
      'other/config',
    ])
  })
})
