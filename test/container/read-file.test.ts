import { spawnSync } from 'node:child_process'
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { startWorker } from './worker-process.ts'

describe.concurrent('the text of a file', () => {
  test('comes as it is', async (t) => {
    const worker = startWorker(t)
    const text = '\uFEFFä€😀\r\n\tline\u2028 two\n\nno end'
    writeFileSync(join(worker.workspace, 'file'), text)

    expect(await worker.call('read_file', { path: 'file' })).toEqual({
      ok: true,
      output: text,
      summary: '4 lines',
    })
    const absolute = await worker.call('read_file', { path: join(worker.workspace, 'file') })
    expect(absolute.output).toBe(text)
  })

  test.for([
    [{ offset: 1, limit: 1 }, 'one\n', 'lines 1 to 1 of 3'],
    [{ offset: 2 }, 'two\nthree\n', 'lines 2 to 3 of 3'],
    [{ offset: 2, limit: 1 }, 'two\n', 'lines 2 to 2 of 3'],
    [{ limit: 2 }, 'one\ntwo\n', 'lines 1 to 2 of 3'],
    [{ offset: 3, limit: 100 }, 'three\n', 'lines 3 to 3 of 3'],
    [{ offset: null, limit: null }, 'one\ntwo\nthree\n', '3 lines'],
  ] as const)('in part is chosen by %j', async ([part, output, summary], t) => {
    const worker = startWorker(t)
    writeFileSync(join(worker.workspace, 'file'), 'one\ntwo\nthree\n')

    const result = await worker.call('read_file', { path: 'file', ...part })
    expect(result).toEqual({ ok: true, output, summary })
  })

  test('is clipped when it is long', async (t) => {
    const worker = startWorker(t)
    writeFileSync(join(worker.workspace, 'file'), `first\n${'x'.repeat(1e6)}\nlast\n`)
    const args = [{ path: 'file' }, { path: 'file', offset: 1, limit: 2 }]
    const limits = { toolOutputBytes: 100 }

    for (const { output } of await Promise.all(
      args.map((given) => worker.call('read_file', given, limits)),
    )) {
      expect(output).toMatch(/^first\nx+\n\[… \d+ bytes of \d+ left out here …\]\nx+/)
      expect(output.length).toBeLessThan(200)
    }
  })

  test('is read through a link', async (t) => {
    const worker = startWorker(t)
    writeFileSync(join(worker.workspace, 'file'), 'text')
    symlinkSync('file', join(worker.workspace, 'link'))

    expect((await worker.call('read_file', { path: 'link' })).output).toBe('text')
  })

  test('may be empty', async (t) => {
    const worker = startWorker(t)
    writeFileSync(join(worker.workspace, 'file'), '')

    expect(await worker.call('read_file', { path: 'file' })).toMatchObject({ ok: true, output: '' })
  })
})

describe.concurrent('what is no text file', () => {
  test.for([
    ['a missing file', { path: 'missing' }, 'ENOENT'],
    ['a folder', { path: 'folder' }, 'folder is a folder; use list_files'],
    ['the workspace', { path: '.' }, 'is a folder'],
    ['a file as a folder', { path: 'binary/x' }, 'ENOTDIR'],
    ['a link to itself', { path: 'loop' }, 'ELOOP'],
    ['a file with NUL bytes', { path: 'binary' }, 'binary is not a text file (4 bytes)'],
    ['a named pipe without a writer', { path: 'pipe' }, 'pipe is not a regular file'],
    ['a device', { path: '/dev/zero' }, '/dev/zero is not a regular file'],
    ['a file of one gigabyte', { path: 'huge' }, 'huge has 1073741824 bytes'],
    ['a name with NUL', { path: 'a\0b' }, 'null bytes'],
    ['a path of 4097 characters', { path: 'a'.repeat(4097) }, 'ENAMETOOLONG'],
    ['a name that is no UTF-8', { path: 'a\udc80' }, 'ENOENT'],
    ['a way up to nothing', { path: '../../nonexistent/passwd' }, 'ENOENT'],
    ['a sparse file of a terabyte', { path: 'sparse' }, 'sparse has 1099511627776 bytes'],
    ['a file without a size or an end', { path: '/proc/self/pagemap' }, 'has more than 33554432'],
    ['an offset past the end', { path: 'lines', offset: 3 }, 'lines has 2 lines; line 3 is past'],
    ['no path', {}, '"path" must be a string'],
    ['a path of another type', { path: ['lines'] }, '"path" must be a string'],
    ['an offset of zero', { path: 'lines', offset: 0 }, '"offset" must be an integer'],
    ['a limit that is text', { path: 'lines', limit: '1' }, '"limit" must be an integer'],
  ] as const)('is refused at once: %s', async ([, args, message], t) => {
    const worker = startWorker(t)
    const at = (name: string) => join(worker.workspace, name)
    mkdirSync(at('folder'))
    writeFileSync(at('lines'), 'one\ntwo\n')
    writeFileSync(at('binary'), Buffer.from([0x61, 0, 0x62, 0x0a]))
    writeFileSync(at('huge'), '')
    truncateSync(at('huge'), 2 ** 30)
    writeFileSync(at('sparse'), '')
    truncateSync(at('sparse'), 2 ** 40)
    symlinkSync('loop', at('loop'))
    expect(spawnSync('mkfifo', [at('pipe')]).status).toBe(0)

    const started = performance.now()
    const result = await worker.call('read_file', args)
    expect(performance.now() - started).toBeLessThan(3000)
    expect(result.ok).toBe(false)
    expect(result.output).toMatch(/^error: /)
    expect(result.output).toContain(message)
    expect(result.summary).not.toContain('\n')
  })

  test('is refused at once: a socket', async (t) => {
    const worker = startWorker(t)
    const server = createServer().listen(join(worker.workspace, 'socket'))
    t.onTestFinished(() => void server.close())

    expect((await worker.call('read_file', { path: 'socket' })).output).toMatch(/^error: /)
  })
})
