import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { releaseSources } from '../../host/workspace/mount-source.ts'
import { holdWorkspace, openWorkspace } from '../../host/workspace/open-workspace.ts'

const isRoot = process.getuid?.() === 0

let box: string
let home: string
let dataDir: string

beforeEach(() => {
  box = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-guard-')))
  home = join(box, 'home', 'me')
  dataDir = join(box, 'elsewhere', 'data')
  mkdirSync(home, { recursive: true })
  vi.stubEnv('HOME', home)
  vi.stubEnv('USERPROFILE', home)
})

afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(box, { recursive: true, force: true })
})

function made(path: string): string {
  mkdirSync(path, { recursive: true })
  return path
}

const open = (folder: string) => openWorkspace(folder, dataDir)
const refused = (why: string | RegExp = '') =>
  expect.objectContaining({
    code: 'workspace-invalid',
    message: expect.stringMatching(why),
  })

describe.skipIf(process.platform === 'win32')('what is refused as a workspace', () => {
  test.each([
    ['', 'your whole home folder'],
    ['..', 'your whole home folder'],
    ['.ssh', 'your keys'],
    ['.ssh/sub', 'your keys'],
    ['.aws', 'your keys'],
    ['.gnupg', 'your keys'],
    ['.docker', 'your keys'],
    ['.config/gcloud/x', 'your keys'],
    ['.config', 'your keys'],
    ['.codex', 'the Codex CLI'],
    ['.codex/sessions', 'the Codex CLI'],
    ['.mozilla/firefox/profile', 'a browser'],
    ['Library/Application Support/Google', 'a browser'],
    ['backup/of-home/.ssh', 'keys and credentials'],
  ])('of the home folder: %j, because of %s', (path, why) => {
    made(join(home, path))

    expect(() => open(join(home, path))).toThrow(refused(why))
  })

  test.each([
    '/',
    '/etc',
    '/etc/ssl',
    '/proc',
    '/proc/self',
    '/sys',
    '/dev',
    '/usr',
    '/run',
    '/tmp',
    '/home',
  ])('of the system: %s, also by a link', (path) => {
    if (!existsSync(path)) return
    const link = join(box, 'link')
    symlinkSync(path, link)

    expect(() => open(path)).toThrow(refused())
    expect(() => open(link)).toThrow(refused())
  })

  test('a folder that others named: CODEX_HOME, the sockets of the engine and of the key agent', () => {
    vi.stubEnv('CODEX_HOME', made(join(box, 'codex-home')))
    vi.stubEnv('DOCKER_HOST', `unix://${made(join(box, 'engine'))}/docker.sock`)
    vi.stubEnv('SSH_AUTH_SOCK', `${made(join(box, 'agent'))}/listener`)

    expect(() => open(join(box, 'codex-home'))).toThrow(refused('the Codex CLI'))
    expect(() => open(join(box, 'engine'))).toThrow(refused('takes orders'))
    expect(() => open(join(box, 'agent'))).toThrow(refused('takes orders'))
  })

  test('a home folder that is not ours is known by what is in it', () => {
    made(join(box, 'home', 'other', '.ssh'))

    expect(() => open(join(box, 'home', 'other'))).toThrow(refused('as a home folder does'))
  })

  test('the home folder behind a link on the way to it', () => {
    symlinkSync(home, join(box, 'link'))
    made(join(home, '.ssh'))

    expect(() => open(join(box, 'link', '.ssh'))).toThrow(refused('your keys'))
    expect(() => open(join(box, 'link'))).toThrow(refused('your whole home'))
  })

  test('a folder that is missing is refused and not made', () => {
    expect(() => open(join(box, 'none'))).toThrow(refused('does not exist'))
    expect(existsSync(join(box, 'none'))).toBe(false)
  })

  test('one sentence says why', () => {
    expect(() => open(home)).toThrow(
      refused(/^The workspace \S+ would give the agent your whole home folder\.$/),
    )
  })

  test.runIf(isRoot && process.platform === 'linux')(
    'the home folder where it is mounted a second time',
    ({ skip }) => {
      const second = made(join(box, 'second'))
      try {
        execFileSync('mount', ['--bind', home, second], { stdio: 'ignore' })
      } catch {
        skip('this machine lets nobody mount')
      }
      try {
        expect(() => open(second)).toThrow(refused('your whole home folder'))
      } finally {
        execFileSync('umount', [second])
      }
    },
  )
})

test.each([
  'work',
  'my-credentials-demo',
  'ssh',
  '.sshd',
  'aws-lambda',
  'a:b, c=d',
  'src/.config-of-mine',
  '.config/nvim',
  '.dotfiles',
  'etc',
  'Library-of-Babel',
  'docker.sock.d',
  '工作',
  'etc.',
])('a folder for work is taken, whatever it sounds like: ~/%s', (path) => {
  expect(open(made(join(home, path))).path).toBe(join(home, path))
})

describe.skipIf(process.platform === 'win32')('a workspace that is replaced after the look', () => {
  test.each([
    ['another folder', () => made(join(box, 'work'))],
    ['a link', () => symlinkSync(home, join(box, 'work'))],
    ['a file', () => writeFileSync(join(box, 'work'), '')],
    ['nothing', () => {}],
  ])('by %s is found out', (_, replace) => {
    const workspace = open(made(join(box, 'work')))
    releaseSources([holdWorkspace(workspace)])

    renameSync(join(box, 'work'), join(box, 'away'))
    replace()

    expect(() => holdWorkspace(workspace)).toThrow(refused())
  })

  test('by a link above it is found out, even to a copy', () => {
    const workspace = open(made(join(box, 'above', 'work')))

    renameSync(join(box, 'above'), join(box, 'away'))
    symlinkSync(join(box, 'away'), join(box, 'above'))

    expect(() => holdWorkspace(workspace)).toThrow(refused('replaced'))
  })
})

test('the home folder of the tests is the one that is looked at', () => {
  expect(homedir()).toBe(home)
})
