import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { gitlinks } from '../../host/workspace/gitlinks.ts'
import { changedPlants, lookForPlants } from '../../host/workspace/look-for-plants.ts'

let work: string

beforeEach(() => {
  work = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-gitlinks-')))
})

afterEach(() => rmSync(work, { recursive: true, force: true }))

const git = (...args: string[]) =>
  execFileSync('git', args, {
    cwd: work,
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { PATH: process.env.PATH, GIT_CONFIG_GLOBAL: '/dev/null' },
  })

const hash = (digits: number) => '1'.repeat(digits)
const HIDDEN = 'node_modules/a/b/c/d/e/f/g'

test.each([
  [2, 'sha1'],
  [3, 'sha1'],
  [4, 'sha1'],
  [2, 'sha256'],
  [4, 'sha256'],
] as const)('are found in an index of version %i with %s', (version, format) => {
  git('init', `--object-format=${format}`)
  git('config', 'index.version', String(version))
  for (const name of ['a', 'a-file-with-a-name', 'b', 'sub-file', 'z'])
    writeFileSync(join(work, name), name)
  const id = hash(format === 'sha1' ? 40 : 64)
  for (const path of ['sub', 'sub-2/deep', `x${'y'.repeat(300)}`]) {
    git('update-index', '--add', '--cacheinfo', `160000,${id},${path}`)
  }
  git('add', '--intent-to-add', 'b')
  git('add', 'a', 'a-file-with-a-name', 'sub-file', 'z')
  if (version !== 3) git('update-index', '--index-version', String(version))

  const index = readFileSync(join(work, '.git/index'))

  expect(index.readUInt32BE(4)).toBe(version === 2 ? 3 : version)
  expect(gitlinks(index, format === 'sha1' ? 20 : 32)).toEqual([
    'sub',
    'sub-2/deep',
    `x${'y'.repeat(300)}`,
  ])
})

test('whatever stands in an index, reading it ends, and throws nothing', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(2, 3, 4), (bytes, version) => {
      const header = Buffer.from('DIRC\0\0\0\0\xff\xff\xff\xff', 'latin1')
      header.writeUInt32BE(version, 4)
      gitlinks(Buffer.concat([header, bytes]), 20)
      gitlinks(Buffer.from(bytes), 32)
    }),
  )
})

test('what git runs of a repository that the index names is reported, however well it is hidden', () => {
  git('init')
  const before = lookForPlants(work)

  mkdirSync(join(work, HIDDEN), { recursive: true })
  writeFileSync(join(work, '.gitignore'), 'node_modules')
  git('init', HIDDEN)
  git(
    '-C',
    HIDDEN,
    '-c',
    'user.name=a',
    '-c',
    'user.email=a@b',
    'commit',
    '--allow-empty',
    '-m',
    'x',
  )
  git('-C', HIDDEN, 'config', 'core.fsmonitor', `touch ${work}/canary; false #`)
  const id = String(git('-C', HIDDEN, 'rev-parse', 'HEAD')).trim()
  rmSync(join(work, 'canary'), { force: true })
  git('update-index', '--add', '--cacheinfo', `160000,${id},${HIDDEN}`)
  git('status')

  // The attack is real, and nothing of the repository itself was touched.
  expect(existsSync(join(work, 'canary'))).toBe(true)
  expect(changedPlants(before, lookForPlants(work)).map(({ path }) => path)).toEqual([
    `${HIDDEN}/.git/config`,
  ])
})

test('repositories that name each other are looked at once', () => {
  git('init')
  git('init', 'a')
  for (let i = 0; i < 3; i++) {
    git('update-index', '--add', '--cacheinfo', `160000,${hash(40)},a`)
    git('-C', 'a', 'update-index', '--add', '--cacheinfo', `160000,${hash(40)},b`)
  }
  writeFileSync(join(work, 'a', 'b'), '')

  expect(lookForPlants(work)).toMatchObject({ isComplete: true })
})
