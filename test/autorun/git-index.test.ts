import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, posix } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { bitsOfEwah } from '../../host/outer/autorun/ewah.ts'
import { readGitIndex } from '../../host/outer/autorun/git-index.ts'
import { reportOf } from '../../host/outer/autorun/report.ts'
import { scan } from '../../host/outer/autorun/scan.ts'
import { isFull } from '../full-size.ts'
import { judgedByGit } from './git-batch.ts'

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
  const { gitlinks } = readGitIndex(index, { idBytes: format === 'sha1' ? 20 : 32 })
  expect(gitlinks).toEqual(['sub', 'sub-2/deep', `x${'y'.repeat(300)}`])
})

/** An index of git's own making, in all its forms, for others to be made of it. */
function realIndexes(): Buffer[] {
  git('init', '-q')
  for (const name of ['a', 'b', 'deep/c']) {
    mkdirSync(join(work, 'deep'), { recursive: true })
    writeFileSync(join(work, name), name)
  }
  git('add', '.')
  for (const path of ['sub', 'sub-2/deep']) {
    git('update-index', '--add', '--cacheinfo', `160000,${hash(40)},${path}`)
  }
  const whole = [2, 4].map((version) => {
    git('update-index', '--index-version', String(version))
    return readFileSync(join(work, '.git/index'))
  })
  // Based on another file, of which it replaces one entry.
  git('update-index', '--split-index')
  git('update-index', '--cacheinfo', `160000,${hash(40)},b`)
  return [...whole, readFileSync(join(work, '.git/index'))]
}

/** The file that the split index of `realIndexes` is based on, by its id. */
const sharedIndex = (id: string) => {
  const file = join(work, `.git/sharedindex.${id}`)
  return existsSync(file) ? readFileSync(file) : undefined
}

const SUBMODULES = ['a', 'b', 'deep/c', 'sub', 'sub-2/deep', 'suc']

/** A repository with a commit, whose objects others use. */
function repositoryWithCommit(): { objects: string; id: string } {
  const folder = join(work, 'template')
  git('init', '-q', folder)
  git(
    '-C',
    folder,
    '-c',
    'user.name=a',
    '-c',
    'user.email=a@b',
    'commit',
    '-q',
    '--allow-empty',
    '-m',
    'x',
  )
  const id = String(git('-C', folder, 'rev-parse', 'HEAD')).trim()
  return { objects: join(folder, '.git/objects'), id }
}

function putRepository(folder: string, files: Record<string, string>): void {
  for (const [path, text] of Object.entries({
    HEAD: 'ref: refs/heads/main\n',
    'objects/info/none': '',
    'refs/none': '',
    ...files,
  })) {
    mkdirSync(dirname(join(folder, '.git', path)), { recursive: true })
    writeFileSync(join(folder, '.git', path), text)
  }
}

type Edit = { at: number; byte: number; isCut: boolean } | { entry: number; mode: number }

/** An edit of any byte, or of the mode of an entry. */
const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc.record({ at: fc.nat(), byte: fc.nat(255), isCut: fc.nat(40).map((n) => n === 0) }),
  fc.record({ entry: fc.nat(4), mode: fc.constantFrom(0o160000, 0o040000, 0o100644, 0o120000) }),
)

/** Where the entries of an index begin that nobody has tampered with. */
function entryStarts(index: Buffer): number[] {
  const isShort = index.readUInt32BE(4) === 4
  const starts: number[] = []
  let at = 12
  for (let left = index.readUInt32BE(8); left > 0; left--) {
    starts.push(at)
    const end = index.indexOf(0, at + (isShort ? 63 : 62))
    at = isShort ? end + 1 : at + ((end - at + 8) & ~7)
  }
  return starts
}

function edited(index: Buffer, edits: readonly Edit[]) {
  let bytes = Buffer.from(index)
  for (const one of edits) {
    if ('entry' in one) {
      const start = entryStarts(index)[one.entry]
      if (start !== undefined && start + 28 <= bytes.length) {
        bytes.writeUInt32BE(one.mode, start + 24)
      }
    } else if (one.isCut) bytes = bytes.subarray(0, one.at % bytes.length)
    else if (bytes.length > 0) bytes[one.at % bytes.length] = one.byte
  }
  return bytes
}

test('of an index that was tampered with, what git finds and runs is found or it is said to be unread', async () => {
  const indexes = realIndexes()
  const sharedIndexes = readdirSync(join(work, '.git')).filter((name) => /^sharedindex/.test(name))
  const { objects, id } = repositoryWithCommit()
  let accepted = 0
  let ran = 0
  let ended = 0

  await judgedByGit({
    root: join(work, 'cases'),
    total: isFull ? 100_000 : 200,
    examples: indexes.map((index): [Buffer, Edit[]] => [index, []]),
    cases: fc.tuple(fc.constantFrom(...indexes), fc.array(edit, { minLength: 1, maxLength: 4 })),
    prepare: (folder) => {
      putRepository(folder, { config: '' })
      for (const name of sharedIndexes) cpSync(join(work, '.git', name), join(folder, '.git', name))
      for (const path of SUBMODULES) {
        putRepository(join(folder, path), {
          config: '[core]\n\tfsmonitor = ": > .git/ran; false #"\n',
          'refs/heads/main': `${id}\n`,
          'objects/info/alternates': `${objects}\n`,
        })
      }
    },
    place: ([index, edits], folder) => {
      writeFileSync(join(folder, '.git/index'), edited(index, edits))
    },
    script:
      '{ git ls-files -s -z > .git/found; echo $? > .git/listed; git status > /dev/null; echo $? > .git/asked; } 2> .git/said',
    check: ([index, edits], folder) => {
      const { gitlinks, folders, unread } = readGitIndex(edited(index, edits), {
        shared: sharedIndex,
      })
      const [listed, asked] = ['listed', 'asked'].map((name) => {
        return Number(readFileSync(join(folder, '.git', name), 'latin1'))
      })
      const found = listed === 0 ? gitlinksIn(join(folder, '.git/found')) : undefined
      const started = SUBMODULES.filter((path) => {
        const mark = join(folder, path, '.git/ran')
        const isThere = existsSync(mark)
        if (isThere) rmSync(mark)
        return isThere
      })
      if (found) accepted++
      ran += started.length
      // A git without our bound on its memory might take what this one refuses.
      const isRefusedMemory = readFileSync(join(folder, '.git/said'), 'latin1').includes(OF_MEMORY)
      const isEnded = isRefusedMemory || [listed, asked].some((status) => ENDED.has(status ?? 0))
      if (isEnded) ended++
      if (unread !== undefined) return
      // What keeps git at work without end is nothing that was read.
      expect(isEnded).toBe(false)
      // Git shows one without a name as `./`.
      if (found) expect(gitlinks).toEqual(expect.arrayContaining(found))
      const known = new Set(gitlinks.map((path) => posix.normalize(path)))
      for (const path of started) {
        const isBelow = folders.some((above) => path.startsWith(`${above}/`))
        expect(known.has(path) || isBelow, path).toBe(true)
      }
    },
  })

  expect(Math.min(accepted, ran)).toBeGreaterThanOrEqual(indexes.length)
  if (isFull) console.log(`accepted ${accepted}, ran ${ran}, git ended ${ended}`)
}, 7_200_000)

/** By the bounds of `judgedByGit`: SIGKILL, SIGXCPU and SIGXFSZ. */
const OF_MEMORY = 'fatal: Out of memory'
const ENDED: ReadonlySet<number> = new Set([137, 152, 153])

function gitlinksIn(file: string): string[] {
  return readFileSync(file, 'latin1')
    .split('\0')
    .filter((line) => line.startsWith('160000'))
    .map((line) => line.slice(line.indexOf('\t') + 1).replace(/^\.\/$/, ''))
}

test('whatever stands in an index, reading it ends in time, throws nothing, and keeps no memory', () => {
  const indexes = realIndexes()
  let longestMs = 0
  const before = process.memoryUsage().rss
  const read = (index: Buffer) => {
    const startedAt = performance.now()
    readGitIndex(index, { shared: () => index })
    longestMs = Math.max(longestMs, performance.now() - startedAt)
  }
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom(2, 3, 4),
      fc.constantFrom(...indexes),
      fc.nat(),
      (bytes, version, real, at) => {
        const header = Buffer.from('DIRC\0\0\0\0\xff\xff\xff\xff', 'latin1')
        header.writeUInt32BE(version, 4)
        read(Buffer.concat([header, bytes]))
        read(Buffer.from(bytes))
        read(
          Buffer.concat([
            real.subarray(0, at % real.length),
            bytes,
            real.subarray(at % real.length),
          ]),
        )
      },
    ),
    { numRuns: isFull ? 100_000 : 500 },
  )
  expect(longestMs).toBeLessThan(3000)
  expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024)
}, 600_000)

test('a split index that makes git fill its memory is unread, also where it replaces nothing', () => {
  realIndexes()
  git('update-index', '--force-remove', 'b')
  const index = readFileSync(join(work, '.git/index'))
  const bitmaps = index.indexOf('link') + 8 + 20
  expect(readGitIndex(index, { shared: sharedIndex }).unread).toBeUndefined()

  index.writeUInt32BE(0xffffffff, bitmaps)

  expect(readGitIndex(index, { shared: sharedIndex }).unread).toMatch(/do not fit/)
})

test('a bitmap with more bits than an index has entries is not read, nor its bits kept', () => {
  const words = 80_000
  const bitmap = Buffer.alloc(8 + (1 + words) * 8 + 4, 0xff)
  bitmap.writeUInt32BE(64, 0)
  bitmap.writeUInt32BE(1 + words, 4)
  bitmap.writeBigUInt64BE(BigInt(words) << 33n, 8)

  expect(bitsOfEwah(bitmap, 0)?.bits.length).toBeUndefined()
})

test('an index whose parts say different things about where its entries are is unread', () => {
  const [index = Buffer.alloc(0)] = realIndexes()
  const end = index.length - 20
  const extension = (name: string, data: Buffer) => {
    const head = Buffer.alloc(8)
    head.write(name, 'latin1')
    head.writeUInt32BE(data.length, 4)
    return Buffer.concat([head, data])
  }
  const numbers = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer).swap32()
  const withParts = (...parts: Buffer[]) =>
    Buffer.concat([index.subarray(0, end), ...parts, index.subarray(end)])

  expect(readGitIndex(withParts(extension('IEOT', numbers(1, 12, 5)))).unread).toBeUndefined()
  for (const parts of [
    extension('IEOT', numbers(1, 84, 5)),
    extension('IEOT', numbers(1, 12, 1, 12, 4)),
    Buffer.concat([extension('IEOT', numbers(1, 12, 5)), extension('IEOT', numbers(1, 12, 5))]),
    extension('EOIE', Buffer.concat([numbers(12), Buffer.alloc(20)])),
    extension('abcd', Buffer.alloc(0)),
  ]) {
    expect(readGitIndex(withParts(parts)).unread).toMatch(/fit together|unknown part/)
  }
})

test('an index of 16 MB of nothing but submodules with long names takes little time and memory', () => {
  // Version 4: each name is all of the one before and a few bytes.
  const entry = Buffer.alloc(40 + 20 + 2 + 1 + 2)
  entry.writeUInt32BE(0o160000, 24)
  entry.writeUInt16BE(0xfff, 60)
  entry.write('a', 63)
  const count = Math.floor((16 * 1024 * 1024) / entry.length)
  const header = Buffer.from('DIRC\0\0\0\x04\0\0\0\0', 'latin1')
  header.writeUInt32BE(count, 8)
  const index = Buffer.concat([
    header,
    ...Array.from({ length: count }, () => entry),
    Buffer.alloc(20),
  ])
  const before = process.memoryUsage().rss
  const startedAt = performance.now()

  const { unread } = readGitIndex(index)

  expect(unread).toMatch(/too long|more than/)
  expect(performance.now() - startedAt).toBeLessThan(2000)
  expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024)
})

test('what git runs of a repository that the index names is reported, however well it is hidden', () => {
  git('init')
  const before = scan(work)

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
  // With the file that its command names.
  expect(reportOf(before.states, scan(work))?.paths.map(({ path }) => path)).toEqual([
    'canary',
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

  expect([...scan(work).unread]).toEqual([])
})
