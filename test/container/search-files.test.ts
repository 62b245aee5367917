import { spawnSync } from 'node:child_process'
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { matchesGlob } from '../../container/worker/search/glob.ts'
import { type Cleanup, startWorker } from './worker-process.ts'

const hasRipgrep = spawnSync('rg', ['--version']).status === 0
if (!hasRipgrep) console.warn('ripgrep is not installed: searches with it are not tested')

/** How the worker is started so that it searches by this means. */
const means = [
  ...(hasRipgrep ? [['ripgrep', 'exec "$@"'] as const] : []),
  ['no ripgrep', 'PATH=/nowhere exec "$@"'] as const,
]

const files = {
  'a.ts': 'const one = 1\r\nconst Two = 2\n',
  'b.md': 'one\n\ntwo one',
  'src/c.ts': 'one(1)\n',
  'src/deep/d.ts': '  one\n',
  '.hidden': 'one\n',
  'ignored/e.ts': 'one\n',
  '.gitignore': 'ignored/\n',
  '.git/config': 'one\n',
  'src/node_modules/f.ts': 'one\n',
  'src/büro ✓.ts': 'one ä€😀\n',
  binary: Buffer.from('one\0\n'),
  latin: Buffer.from('one \xe4\n', 'latin1'),
}

function workerWith(t: Cleanup, wrapped: string, content: Record<string, string | Buffer> = files) {
  const worker = startWorker(t, { wrapped })
  for (const [path, text] of Object.entries(content)) {
    mkdirSync(join(worker.workspace, dirname(path)), { recursive: true })
    writeFileSync(join(worker.workspace, path), text)
  }
  const search = async (args: object, limits = {}) => {
    const { ok, output, summary } = await worker.call('search_files', args, limits)
    return { ok, output, lines: output.split('\n').sort(), summary }
  }
  return { ...worker, search }
}

test.skipIf(!hasRipgrep)(
  'what git ignores comes last, so that it does not fill all the room',
  async (t) => {
    const { search, call } = workerWith(t, 'exec "$@"', {
      '.gitignore': '.venv/\n*.log\n',
      '.venv/lib.py': 'def handler(): pass\n'.repeat(300),
      'a.log': 'def handler\n',
      'src/app.py': 'def handler(): return 1\n',
      'src/.gitignore': 'generated.py',
      'src/generated.py': 'def handler\n',
    })
    await call('bash', { command: 'git init -q .' })

    const { output } = await search({ pattern: 'def handler' })
    const all = await search({ pattern: 'def handler', glob: '!lib.py' })

    expect(output).toMatch(/^src\/app\.py:1:.*\n\.venv\/lib\.py:1:/)
    expect(output).toMatch(
      /\n\[only the first 200 matches are shown: 199 of \.venv\/lib\.py, 1 of src\/app\.py\]$/,
    )
    // Each once, and no file is left out.
    expect(all.output.split('\n')).toEqual([
      'src/app.py:1:def handler(): return 1',
      'a.log:1:def handler',
      'src/generated.py:1:def handler',
    ])
  },
)

describe.concurrent.each(means)('a search with %s', (_, wrapped) => {
  test.for([
    [
      'every match',
      { pattern: '\\bone\\b' },
      [
        '.hidden:1:one',
        '[one of these lines is not UTF-8: each \ufffd stands for bytes that are lost here]',
        'a.ts:1:const one = 1',
        'b.md:1:one',
        'b.md:3:two one',
        'ignored/e.ts:1:one',
        'latin:1:one \ufffd',
        'src/büro ✓.ts:1:one ä€😀',
        'src/c.ts:1:one(1)',
        'src/deep/d.ts:1:  one',
      ],
    ],
    ['nothing', { pattern: 'nowhere to be found' }, ['(no match)']],
    ['what begins or ends a line', { pattern: '^const.*2$' }, ['a.ts:2:const Two = 2']],
    ['signs that mean something', { pattern: 'one\\(1\\)' }, ['src/c.ts:1:one(1)']],
    ['what looks like an option', { pattern: '--help' }, ['(no match)']],
    [
      'in either case',
      { pattern: 'TWO', ignore_case: true },
      ['a.ts:2:const Two = 2', 'b.md:3:two one'],
    ],
    ['in a case', { pattern: 'Two', ignore_case: null }, ['a.ts:2:const Two = 2']],
    ['in a folder', { pattern: 'one', path: 'src/deep' }, ['src/deep/d.ts:1:  one']],
    ['in a file', { pattern: 'one', path: 'src/c.ts' }, ['src/c.ts:1:one(1)']],
    ['in files of a name', { pattern: 'one', glob: '*.md' }, ['b.md:1:one', 'b.md:3:two one']],
    [
      'in files of a path',
      { pattern: 'one', glob: 'src/**/[a-d].{ts,js}' },
      ['src/c.ts:1:one(1)', 'src/deep/d.ts:1:  one'],
    ],
    [
      'in all files but some',
      { pattern: '^one', glob: '!{src,*.md,.hidden,latin}' },
      ['ignored/e.ts:1:one'],
    ],
  ] as const)('finds %s', async ([, args, lines], t) => {
    const result = await workerWith(t, wrapped).search(args)

    expect(result).toMatchObject({ ok: true, lines })
  })

  test('comes in the order of the paths', async (t) => {
    const { output } = await workerWith(t, wrapped).search({ pattern: 'one', path: 'src' })

    const paths = output.split('\n').map((line) => line.split(':')[0])
    expect(paths).toEqual([...paths].sort())
  })

  test('shows so many matches and no more, and not all of a long line', async (t) => {
    const many = { many: 'one\n'.repeat(10_000), long: `one${'x'.repeat(1e6)}\n` }
    const { search } = workerWith(t, wrapped, many)
    const { output, summary } = await search({ pattern: 'one' })

    expect(summary).toBe('the first 200 matches')
    expect(output.split('\n')).toHaveLength(201)
    expect(output.split('\n')[0]).toMatch(/^long:1:onex{397} \[…\]$/)
    expect(output).toMatch(
      /many:199:one\n\[only the first 200 matches are shown: 199 of many, 1 of long\]$/,
    )
    expect((await search({ pattern: 'one' }, { toolOutputBytes: 100 })).output).toContain(
      'left out',
    )
  })

  test('shows of a long line the part that matches', async (t) => {
    const long = `${'é😀'.repeat(2000)}needle;b${'z'.repeat(2000)}`
    const { search } = workerWith(t, wrapped, { middle: long, end: `${'a'.repeat(5000)}needle` })

    const { output } = await search({ pattern: 'needle' })

    expect(output).toMatch(/^end:1:\[…\] a{394}needle\nmiddle:1:\[…\] .*needle;bz+ \[…\]$/)
    expect(output).not.toContain('\ufffd')
  })

  test('does not wait for what never ends, nor follow links', { timeout: 15_000 }, async (t) => {
    const { search, workspace } = workerWith(t, wrapped, { file: 'one\n', huge: '' })
    truncateSync(join(workspace, 'huge'), 2 ** 40)
    expect(spawnSync('mkfifo', [join(workspace, 'pipe')]).status).toBe(0)
    symlinkSync('/', join(workspace, 'root'))
    symlinkSync('.', join(workspace, 'loop'))

    expect((await search({ pattern: 'one' })).output).toBe('file:1:one')
  })

  test.for([
    ['no pattern', {}, '"pattern" must be a string'],
    ['a pattern that is none', { pattern: '(' }, '('],
    ['a folder that is not there', { pattern: 'x', path: 'nowhere' }, 'ENOENT'],
    ['a path with NUL', { pattern: 'x', path: 'a\0b' }, 'null bytes'],
    ['a flag of another type', { pattern: 'x', ignore_case: 'yes' }, 'must be true or false'],
    ['a glob that is none', { pattern: 'one', glob: '[z-a]' }, '[z-a]'],
  ] as const)('is refused for %s', async ([, args, message], t) => {
    const { ok, output } = await workerWith(t, wrapped).search(args)

    expect(ok).toBe(false)
    expect(output).toMatch(/^error: /)
    expect(output).toContain(message)
  })

  test('ends when the run is interrupted', async (t) => {
    const { search, cancel } = workerWith(t, wrapped)
    const result = search({ pattern: 'one' })
    cancel()

    expect((await result).ok).toBe(true)
  })
})

test('a pattern that takes for ever is given up, and the worker is there again', async (t) => {
  const content = { trap: `${'a'.repeat(50)}b\n` }
  const { search, call } = workerWith(t, 'PATH=/nowhere exec "$@"', content)
  const result = await search({ pattern: '^(a+)+$' })

  expect(result.output).toBe('error: The pattern takes too long to match in trap; make it simpler.')
  const stars = await search({ pattern: 'x', glob: `${'*a'.repeat(40)}c` })
  expect(stars.output).toMatch(/no match|too long/)
  expect((await call('list_files', {})).ok).toBe(true)
})

test.each([
  ['*.ts', ['a.ts', 'b/a.ts'], ['a.tsx', 'ts', 'a.ts/b']],
  ['/*.ts', ['a.ts'], ['b/a.ts']],
  ['a', ['a', 'b/a'], ['ab', 'a/b']],
  ['!a', ['ab', 'b/ab'], ['a', 'b/a', 'a/b', 'b/a/c']],
  ['a/**', ['a/b', 'a/b/c'], ['a', 'b/a/b']],
  ['a/*', ['a/b'], ['a/b/c']],
  ['**/b/*.c', ['b/x.c', 'a/b/x.c'], ['b/a/x.c']],
  ['a?c', ['abc'], ['ac', 'abbc']],
  ['[ab]x', ['ax', 'bx'], ['cx']],
  ['[!ab]x', ['cx'], ['ax', '/x']],
  ['{a,b}.{c,d}', ['a.c', 'b.d'], ['a.e', 'ab.c']],
  ['a.b+c(d)', ['a.b+c(d)'], ['aab+c(d)', 'a.bbc(d)']],
  ['\\*', ['*'], ['a']],
])('the glob %s asks for some paths and not for others', (glob, some, others) => {
  expect(some.filter((path) => !matchesGlob(path, glob))).toEqual([])
  expect(others.filter((path) => matchesGlob(path, glob))).toEqual([])
})
