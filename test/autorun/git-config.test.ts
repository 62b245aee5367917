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
import { afterAll, expect, test } from 'vitest'
import { gitConfigPairs } from '../../host/outer/autorun/git-config.ts'
import { scan } from '../../host/outer/autorun/scan.ts'
import { isFull } from '../full-size.ts'
import { workTime } from '../work-time.ts'
import { judgedByGit } from './git-batch.ts'

/** What the garbage of a hundred thousand cases may come to between two collections. */
const MAX_GROWTH = 200 * 1024 * 1024

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-config-')))
/** A command that leaves a mark in the folder of the repository. */
const TRACER = ': > ran'

afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What git makes of it; undefined when it refuses it. */
function pairsIn(output: string): string[] | undefined {
  if (!existsSync(output)) return undefined
  const read = readFileSync(output, 'latin1')
  rmSync(output)
  return read
    .split('\0')
    .slice(0, -1)
    .map((pair) => pair.replace('\n', '='))
}

/** A key without a value is given none by git, and an empty one by us. */
const withoutEnd = (pair: string) => pair.replace(/=$/, '')

const part = fc.constantFrom(
  ...[
    '[core]',
    '[a "b"]',
    '[a "b\\"c\\\\"]',
    '[A.B]',
    '[a\t"b"]',
    '[a "b" ]',
    '[]',
    '[ a]',
    '[a',
    ']',
    '"',
    "'",
    '\\',
    '\\\n',
  ],
  ...[
    '\n',
    '\r',
    '\r\n',
    '\t',
    ' ',
    '=',
    '#',
    ';',
    '\0',
    '\xff',
    '\xef\xbb\xbf',
    '\\n',
    '\\t',
    '\\b',
    '\\"',
    '\\x',
    '\\\r\n',
  ],
  ...[
    'fsmonitor',
    `[core]\nfsmonitor = "${TRACER}"`,
    'hooksPath = x',
    'a=b',
    'a = "b',
    'k',
    'K-1',
    '1',
    '-',
    '_',
    '.',
    '!cmd',
    '[include]\npath=x\n',
  ],
)
const text = fc.array(part, { maxLength: 25 }).map((parts) => Buffer.from(parts.join(''), 'latin1'))

test('a config is read as git reads it, and what git runs of it is found', async () => {
  let accepted = 0
  let ran = 0
  await judgedByGit({
    root: folder,
    total: isFull ? 100_000 : 300,
    examples: [
      Buffer.from(`[core]\nfsmonitor = "${TRACER}"\n`),
      Buffer.from('[include]\npath=x\n'),
    ],
    cases: text,
    prepare: (at) => {
      for (const path of ['objects', 'refs']) mkdirSync(join(at, '.git', path), { recursive: true })
      writeFileSync(join(at, '.git/HEAD'), 'ref: refs/heads/main\n')
      writeFileSync(join(at, '.git/x'), `[core]\nfsmonitor = "${TRACER}"\n`)
    },
    place: (bytes, at) => writeFileSync(join(at, '.git/config'), bytes),
    script:
      'git config -f .git/config --no-includes -z --list > .git/list || rm .git/list; git status > /dev/null',
    check: (bytes, at) => {
      const read = pairsIn(join(at, '.git/list'))
      const { pairs, isBroken } = gitConfigPairs(bytes.toString('latin1'))
      // What git takes, we must: the other way round more is reported than needs to be.
      if (read) {
        accepted++
        expect(isBroken).toBe(false)
        expect(pairs.map(({ key, value }) => withoutEnd(`${key}=${value}`))).toEqual(
          read.map(withoutEnd),
        )
      }
      if (!existsSync(join(at, 'ran'))) return
      ran++
      rmSync(join(at, 'ran'))
      expect([...scan(at).found.keys()]).toContain('git .git/config')
    },
  })
  expect(Math.min(accepted, ran)).toBeGreaterThanOrEqual(2)
}, 7_200_000)

test('whatever a config holds, it is read in time, and no memory is kept', () => {
  let longestMs = 0
  const before = process.memoryUsage().rss
  fc.assert(
    fc.property(text, fc.nat(50), (bytes, times) => {
      const repeated = Buffer.concat(Array.from({ length: times }, () => bytes)).toString('latin1')
      const startedAt = performance.now()
      gitConfigPairs(repeated)
      longestMs = Math.max(longestMs, performance.now() - startedAt)
    }),
    { numRuns: isFull ? 100_000 : 1000 },
  )
  expect(longestMs).toBeLessThan(3000)
  expect(process.memoryUsage().rss - before).toBeLessThan(MAX_GROWTH)
}, 600_000)

test.each([
  '[',
  ' ',
  '"',
  '\\',
  '\\\n',
  '=',
  'a',
  '[a "',
  '\0',
  ' \\',
  '"a\\',
  '[a]b=',
  '[a]b='.padEnd(50),
])('a config of 1 MiB of %j is read in time in proportion to it', (piece) => {
  const bytes = piece.repeat(Math.floor((1024 * 1024) / piece.length))
  const workedMs = workTime()

  gitConfigPairs(bytes)
  gitConfigPairs(`[a]\nb = ${bytes}`)

  // Quadratic it would take an hour.
  expect(workedMs()).toBeLessThan(3000)
})
