import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { startWorker } from './worker-process.ts'

const modeOf = (path: string) => (lstatSync(path).mode & 0o7777).toString(8)

describe.concurrent('a file that is written', () => {
  test('is made with the folders it is in', async (t) => {
    const worker = startWorker(t)
    const result = await worker.call('write_file', { path: 'a/b c/ä.txt', content: 'text\n' })

    expect(result).toEqual({
      ok: true,
      output: 'created a/b c/ä.txt (5 bytes)',
      summary: 'created, 5 bytes',
    })
    expect(readFileSync(join(worker.workspace, 'a/b c/ä.txt'), 'utf8')).toBe('text\n')
  })

  test('holds exactly the text given, whatever it is', async (t) => {
    const worker = startWorker(t)
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 200 }), async (content) => {
        await worker.call('write_file', { path: 'file', content })
        expect(readFileSync(join(worker.workspace, 'file'), 'utf8')).toBe(content)
      }),
      { numRuns: 200 },
    )
    expect(readdirSync(worker.workspace)).toEqual(['file'])
  })

  test('may have megabytes', async (t) => {
    const worker = startWorker(t)
    const content = '€\n"\\'.repeat(2 ** 21)
    const result = await worker.call('write_file', { path: 'file', content })

    expect(result.summary).toBe('created, 12582912 bytes')
    expect(readFileSync(join(worker.workspace, 'file'), 'utf8') === content).toBe(true)
  })

  test('replaces another and keeps its mode', async (t) => {
    const worker = startWorker(t)
    const path = join(worker.workspace, 'script')
    for (const mode of [0o755, 0o600, 0o666]) {
      writeFileSync(path, 'a much longer text than the new one')
      chmodSync(path, mode)
      const result = await worker.call('write_file', { path: 'script', content: 'new' })

      expect(result.output).toBe('replaced script (3 bytes)')
      expect(readFileSync(path, 'utf8')).toBe('new')
      expect(modeOf(path)).toBe(mode.toString(8))
    }
    expect(readdirSync(worker.workspace)).toEqual(['script'])
  })

  test.for([
    ['to a file', 'folder/target'],
    ['to nothing yet', 'folder/made'],
    ['to a link', 'folder/link'],
    ['to a link to nothing yet', 'folder/dangling'],
  ] as const)('goes through a link %s, which stays a link', async ([, target], t) => {
    const worker = startWorker(t)
    const at = (name: string) => join(worker.workspace, name)
    mkdirSync(at('folder'))
    writeFileSync(at('folder/target'), 'old')
    symlinkSync('target', at('folder/link'))
    symlinkSync('../folder/made', at('folder/dangling'))
    symlinkSync(target, at('link'))
    await worker.call('write_file', { path: 'link', content: 'new' })

    expect(readlinkSync(at('link'))).toBe(target)
    expect(readFileSync(at('link'), 'utf8')).toBe('new')
    expect(readdirSync(at('folder')).filter((name) => name.endsWith('.tmp'))).toEqual([])
    expect(lstatSync(at('folder/link')).isSymbolicLink()).toBe(true)
    expect(lstatSync(at('folder/dangling')).isSymbolicLink()).toBe(true)
  })

  test('may have as long a name as the system takes', async (t) => {
    const worker = startWorker(t)
    const path = 'n'.repeat(255)
    const result = await worker.call('write_file', { path, content: 'text' })

    expect(result.output).toBe(`created ${path} (4 bytes)`)
    expect(readdirSync(worker.workspace)).toEqual([path])
  })

  test('by two calls at once is that of one of them, whole', async (t) => {
    const worker = startWorker(t)
    const contents = ['a', 'b'].map((letter) => letter.repeat(1e6))
    const write = (content: string) => worker.call('write_file', { path: 'file', content })
    const results = await Promise.all(contents.map(write))

    expect(results.map(({ ok }) => ok)).toEqual([true, true])
    expect(contents).toContain(readFileSync(join(worker.workspace, 'file'), 'utf8'))
    expect(readdirSync(worker.workspace)).toEqual(['file'])
  })
})

describe.concurrent('what cannot be written', () => {
  test.for([
    ['a folder', { path: 'folder', content: '' }, 'folder exists and is not a regular file'],
    ['the workspace', { path: '', content: '' }, 'exists and is not a regular file'],
    ['a named pipe', { path: 'pipe', content: '' }, 'pipe exists and is not a regular file'],
    ['below a file', { path: 'file/x', content: '' }, 'ENOTDIR'],
    ['a link to itself', { path: 'loop', content: '' }, 'ELOOP'],
    ['a name that is too long', { path: 'n'.repeat(256), content: '' }, 'ENAMETOOLONG'],
    ['a name with NUL', { path: 'a\0b', content: '' }, 'null bytes'],
    ['no content', { path: 'file' }, '"content" must be a string'],
    ['content of another type', { path: 'file', content: {} }, '"content" must be a string'],
  ] as const)('is refused and leaves everything as it was: %s', async ([, args, message], t) => {
    const worker = startWorker(t)
    const at = (name: string) => join(worker.workspace, name)
    mkdirSync(at('folder'))
    writeFileSync(at('file'), 'old')
    symlinkSync('loop', at('loop'))
    expect(spawnSync('mkfifo', [at('pipe')]).status).toBe(0)
    const result = await worker.call('write_file', args)

    expect(result.ok).toBe(false)
    expect(result.output).toMatch(/^error: /)
    expect(result.output).toContain(message)
    expect(readdirSync(worker.workspace).sort()).toEqual(['file', 'folder', 'loop', 'pipe'])
    expect(readFileSync(at('file'), 'utf8')).toBe('old')
  })

  // The same break in the middle of a write as on a full disk, and no mount is needed for it.
  test('because a file may not grow so large leaves the old one whole, and no other', async (t) => {
    const worker = startWorker(t, { wrapped: 'ulimit -f 64; exec "$@"' })
    writeFileSync(join(worker.workspace, 'file'), 'old')
    const content = 'x'.repeat(1024 * 1024)
    const result = await worker.call('write_file', { path: 'file', content })

    expect(result).toMatchObject({ ok: false, output: expect.stringContaining('EFBIG') })
    expect(readFileSync(join(worker.workspace, 'file'), 'utf8')).toBe('old')
    expect(readdirSync(worker.workspace)).toEqual(['file'])
  })
})

describe('on a full disk', () => {
  const probe = `mount -t tmpfs -o size=64k none /mnt`
  const mounts = spawnSync('unshare', ['-m', 'sh', '-c', probe]).status === 0
  const reason = mounts ? '' : ' (skipped: this user may not mount a file system)'

  test.skipIf(!mounts)(`the old file stays whole, and no other is left${reason}`, async (t) => {
    // Mounted where only the worker sees it: nothing is left when it is killed.
    const wrapped =
      'exec unshare -m sh -c \'mount -t tmpfs -o size=64k none "$4" && exec "$@"\' sh "$@"'
    const worker = startWorker(t, { wrapped })
    const write = (content: string) => worker.call('write_file', { path: 'file', content })
    expect((await write('old')).ok).toBe(true)

    const result = await write('x'.repeat(1024 * 1024))
    expect(result).toMatchObject({ ok: false, output: expect.stringContaining('ENOSPC') })
    const left = await worker.call('bash', { command: 'ls -A; cat file' })
    expect(left.output).toMatch(/\noutput:\nfile\nold$/)
    expect((await write('smaller')).ok).toBe(true)
    expect(readdirSync(worker.workspace)).toEqual([])
  })
})
