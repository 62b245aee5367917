import { spawnSync } from 'node:child_process'
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { startWorker } from './worker-process.ts'

describe.concurrent('an image', () => {
  test.for([
    ['image/png', '\x89PNG\r\n\x1a\nrest'],
    ['image/jpeg', '\xff\xd8\xff\xe0rest'],
    ['image/gif', 'GIF89arest'],
    ['image/gif', 'GIF87arest'],
    ['image/webp', 'RIFF\x01\x02\x03\x04WEBPrest'],
  ] as const)('is shown as %s, whatever its name', async ([type, content], t) => {
    const worker = startWorker(t)
    const bytes = Buffer.from(content, 'latin1')
    writeFileSync(join(worker.workspace, 'picture.txt'), bytes)
    const result = await worker.call('view_image', { path: 'picture.txt' })

    expect(result).toEqual({
      ok: true,
      output: `picture.txt: ${type}, ${bytes.length} bytes`,
      images: [`data:${type};base64,${bytes.toString('base64')}`],
      summary: `${type}, ${bytes.length} bytes`,
    })
  })

  test('may have ten megabytes', async (t) => {
    const worker = startWorker(t)
    const bytes = Buffer.concat([Buffer.from('GIF89a'), Buffer.alloc(10 * 2 ** 20 - 6, 7)])
    writeFileSync(join(worker.workspace, 'large'), bytes)
    const { images } = await worker.call('view_image', { path: 'large' })

    expect(Buffer.from(images?.[0]?.split(',')[1] ?? '', 'base64').equals(bytes)).toBe(true)
  })

  test.for([
    ['nothing', { path: 'empty' }, 'not a PNG, JPEG, GIF or WebP image'],
    ['text', { path: 'text.png' }, 'not a PNG, JPEG, GIF or WebP image'],
    ['a RIFF of another kind', { path: 'sound' }, 'not a PNG'],
    ['more than ten megabytes', { path: 'huge' }, 'huge has 10485761 bytes'],
    ['a file without a size or an end', { path: '/proc/self/pagemap' }, 'has more than 10485760'],
    ['a missing file', { path: 'missing' }, 'ENOENT'],
    ['a folder', { path: 'folder' }, 'is a folder'],
    ['a named pipe', { path: 'pipe' }, 'not a regular file'],
    ['a device', { path: '/dev/zero' }, 'not a regular file'],
    ['no path', {}, '"path" must be a string'],
    ['an address', { path: 'https://example.com/a.png' }, 'ENOENT'],
  ] as const)('is not %s', async ([, args, message], t) => {
    const worker = startWorker(t)
    const at = (name: string) => join(worker.workspace, name)
    mkdirSync(at('folder'))
    writeFileSync(at('empty'), '')
    writeFileSync(at('text.png'), 'PNG')
    writeFileSync(at('sound'), 'RIFF1234WAVEfmt ')
    writeFileSync(at('huge'), 'GIF89a')
    truncateSync(at('huge'), 10 * 2 ** 20 + 1)
    expect(spawnSync('mkfifo', [at('pipe')]).status).toBe(0)
    const result = await worker.call('view_image', args)

    expect(result).not.toHaveProperty('images')
    expect(result).toMatchObject({ ok: false, output: expect.stringContaining(message) })
  })
})
