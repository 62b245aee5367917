import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Cleanup, startWorker, unprivileged } from './worker-process.ts'

/** A worker whose workspace holds these files; a name with a slash at its end is a folder. */
function workerWith(t: Cleanup, names: readonly string[]) {
  const worker = startWorker(t, { user: unprivileged })
  for (const name of names) {
    const path = join(worker.workspace, name)
    mkdirSync(name.endsWith('/') ? path : dirname(path), { recursive: true })
    if (!name.endsWith('/')) writeFileSync(path, name)
  }
  return worker
}

describe.concurrent('a listing', () => {
  test('shows two levels, sorted, with sizes', async (t) => {
    const worker = workerWith(t, ['b.txt', 'a/z', 'a/deep/er/file', 'B', 'empty/', 'ä'])
    const result = await worker.call('list_files', {})

    expect(result.output.split('\n')).toEqual([
      'B  1 bytes',
      'a/',
      'a/deep/',
      'a/z  3 bytes',
      'b.txt  5 bytes',
      'empty/',
      'ä  2 bytes',
    ])
    expect(result).toMatchObject({ ok: true, summary: '7 entries' })
  })

  test.for([
    [1, ['a/']],
    [2, ['a/', 'a/b/']],
    [3, ['a/', 'a/b/', 'a/b/c/']],
    [2 ** 40, ['a/', 'a/b/', 'a/b/c/', 'a/b/c/d/', 'a/b/c/d/file  12 bytes']],
  ] as const)('goes as deep as asked: %i', async ([depth, lines], t) => {
    const worker = workerWith(t, ['a/b/c/d/file'])

    const { output } = await worker.call('list_files', { depth })
    expect(output.split('\n')).toEqual(lines)
  })

  test('is of the folder asked for', async (t) => {
    const worker = workerWith(t, ['a/b/file', 'other'])

    expect((await worker.call('list_files', { path: 'a' })).output).toBe('b/\nb/file  8 bytes')
    const path = join(worker.workspace, 'a/b')
    expect((await worker.call('list_files', { path })).output).toBe('file  8 bytes')
  })

  test('leaves out what .git and node_modules hold, unless asked for it', async (t) => {
    const worker = workerWith(t, ['.git/HEAD', 'lib/node_modules/x', 'node_modules/y/z', '.env'])

    const { output } = await worker.call('list_files', { depth: 9 })
    expect(output.split('\n')).toEqual([
      '.env  4 bytes',
      '.git/',
      'lib/',
      'lib/node_modules/',
      'node_modules/',
    ])
    const path = 'node_modules'
    expect((await worker.call('list_files', { path })).output).toBe('y/\ny/z  16 bytes')
  })

  test('shows where links lead and does not follow them', async (t) => {
    const worker = workerWith(t, ['folder/file'])
    symlinkSync('/', join(worker.workspace, 'root'))
    symlinkSync('.', join(worker.workspace, 'self'))
    symlinkSync('nowhere', join(worker.workspace, 'dangling'))

    const { output } = await worker.call('list_files', { depth: 9 })
    expect(output.split('\n')).toEqual([
      'dangling -> nowhere',
      'folder/',
      'folder/file  11 bytes',
      'root -> /',
      'self -> .',
    ])
  })

  test('goes on past a folder that cannot be read', async (t) => {
    const worker = workerWith(t, ['a/file', 'locked/file', 'locked/in/file', 'z'])
    const locked = join(worker.workspace, 'locked')
    chmodSync(locked, 0)
    t.onTestFinished(async () => chmodSync(locked, 0o700))

    const { ok, output } = await worker.call('list_files', { depth: 3 })
    expect(ok).toBe(true)
    expect(output.split('\n')).toEqual([
      'a/',
      'a/file  6 bytes',
      'locked/ (cannot be read)',
      'z  1 bytes',
    ])
  })

  test('goes on past files that may be seen and not looked at', async (t) => {
    const worker = workerWith(t, ['locked/folder/x', 'locked/file', 'z'])
    const locked = join(worker.workspace, 'locked')
    symlinkSync('file', join(locked, 'link'))
    chmodSync(locked, 0o444)
    t.onTestFinished(async () => chmodSync(locked, 0o700))

    const { output } = await worker.call('list_files', { depth: 3 })
    expect(output.split('\n')).toEqual([
      'locked/',
      'locked/file (cannot be read)',
      'locked/folder/ (cannot be read)',
      'locked/link (cannot be read)',
      'z  1 bytes',
    ])
  })

  test('ends after a thousand entries and says so', async (t) => {
    const names = Array.from({ length: 1000 }, (_, n) => `f${String(n).padStart(4, '0')}`)
    const exact = workerWith(t, names)
    const more = workerWith(t, ['a/', ...names])
    const limits = { toolOutputBytes: 100_000 }

    const whole = await exact.call('list_files', {}, limits)
    expect(whole.summary).toBe('1000 entries')
    expect(whole.output).toMatch(/f0999 {2}5 bytes$/)
    const capped = await more.call('list_files', {}, limits)
    expect(capped.summary).toBe('the first 1000 entries')
    expect(capped.output).toMatch(/f0998 {2}5 bytes\n\[only the first 1000 entries are shown\]$/)
  })

  test('of an empty folder says so', async (t) => {
    expect((await workerWith(t, []).call('list_files', {})).output).toBe('(empty)')
  })

  test.for([
    ['a missing folder', { path: 'missing' }, 'ENOENT'],
    ['a file', { path: 'file' }, 'ENOTDIR'],
    ['a depth of zero', { depth: 0 }, '"depth" must be an integer'],
    ['a path of another type', { path: 5 }, '"path" must be a string'],
  ] as const)('is refused for %s', async ([, args, message], t) => {
    const result = await workerWith(t, ['file']).call('list_files', args)

    expect(result).toMatchObject({ ok: false, output: expect.stringContaining(message) })
  })
})
