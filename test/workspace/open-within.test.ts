import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { scan } from '../../host/outer/autorun/scan.ts'
import { readWithin } from '../../host/workspace/open-within.ts'
import { openWorkspace } from '../../host/workspace/open-workspace.ts'
import { isFull } from '../full-size.ts'

const MAX_BYTES = 1000
const SECRET = 'this is outside'

let box: string
let work: string

beforeEach(() => {
  box = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-within-')))
  work = join(box, 'work')
  mkdirSync(join(work, 'dir'), { recursive: true })
  mkdirSync(join(box, 'outside'))
  writeFileSync(join(box, 'outside', 'file'), SECRET)
  writeFileSync(join(work, 'dir', 'file'), 'inside')
  writeFileSync(join(work, 'file'), 'inside')
})

afterEach(() => rmSync(box, { recursive: true, force: true }))

const read = (path: string) => readWithin(work, path, MAX_BYTES)?.toString()

test('a file is read at any depth', () => {
  expect([read('file'), read('dir/file')]).toEqual(['inside', 'inside'])
})

describe('nothing is read', () => {
  test.each(['none', 'dir', 'file/file', 'none/file', '', 'dir/', 'a'.repeat(4097), 'a\0b'])(
    'where no file is: %j',
    (path) => expect(read(path)).toBeUndefined(),
  )

  test.skipIf(process.platform === 'win32')('by a link, wherever it is and leads', () => {
    symlinkSync('file', join(work, 'link'))
    symlinkSync('/etc/passwd', join(work, 'passwd'))
    symlinkSync('../outside', join(work, 'out'))
    symlinkSync('dir', join(work, 'in'))
    symlinkSync('/', join(work, 'root'))
    symlinkSync('loop', join(work, 'loop'))

    for (const path of ['link', 'passwd', 'out/file', 'in/file', 'root/etc/passwd', 'loop']) {
      expect(read(path), path).toBeUndefined()
    }
  })

  test('of a folder whose own path goes by a link', () => {
    symlinkSync(work, join(box, 'link'))

    expect(readWithin(join(box, 'link'), 'file', MAX_BYTES)).toBeUndefined()
  })

  test.skipIf(process.platform === 'win32')('from a FIFO, a socket or a device', async () => {
    execFileSync('mkfifo', [join(work, 'fifo')])
    const server = createServer().listen(join(work, 'socket'))
    await once(server, 'listening')

    expect([read('fifo'), read('socket')]).toEqual([undefined, undefined])
    expect(readWithin('/dev', 'zero', MAX_BYTES)).toBeUndefined()
    server.close()
  })

  test('of more than is wanted', () => {
    truncateSync(join(work, 'file'), MAX_BYTES)
    expect(read('file')).toHaveLength(MAX_BYTES)

    truncateSync(join(work, 'file'), 2 ** 40)
    expect(read('file')).toBeUndefined()
  })
})

describe.skipIf(process.platform === 'win32')('while links are swapped in', () => {
  const TRIES = isFull ? 30_000 : 3000
  let swapper: ChildProcess

  beforeEach(async () => {
    swapper = spawn(process.execPath, ['-e', SWAP, work, box], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(swapper.stdout as NodeJS.ReadableStream, 'data')
  })

  afterEach(async () => {
    swapper.kill('SIGKILL')
    if (swapper.signalCode === null) await once(swapper, 'exit')
  })

  test.each(['file', 'dir/file'])(
    `nothing outside is read by %s in ${TRIES} tries`,
    (path) => {
      const seen = new Map<string | undefined, number>()
      // Until both are seen: otherwise nothing was swapped, and nothing is proved.
      for (let i = 0; i < TRIES || seen.size < 2; i++) {
        const text = read(path)
        seen.set(text, (seen.get(text) ?? 0) + 1)
      }

      expect([...seen.keys()].filter(Boolean)).toEqual(['inside'])
    },
    120_000,
  )

  test('a reader that checks first and opens then is led astray (the control)', () => {
    for (;;) {
      try {
        const path = realpathSync(join(work, 'dir/file'))
        if (!path.startsWith(`${work}/`)) continue
        if (readFileSync(path, 'utf8') === SECRET) return
      } catch {
        // It was not there for a moment.
      }
    }
  }, 120_000)

  test('the look for plants takes nothing from outside', () => {
    writeFileSync(join(box, 'outside', '.envrc'), SECRET)
    for (let i = 0; i < TRIES / 10; i++) {
      for (const place of scan(work).found.keys()) expect(place).not.toContain('.envrc')
    }
  }, 120_000)

  test('a workspace is opened as what it is, or not at all', () => {
    const inside = new Set<string>()
    let refused = 0
    // Both have to be seen, or nothing is proved.
    for (let i = 0; i < TRIES / 10 || inside.size === 0 || refused === 0; i++) {
      try {
        inside.add(openWorkspace(join(work, 'dir'), join(box, 'outside')).path)
      } catch {
        refused++
      }
    }

    expect([...inside]).toEqual([join(work, 'dir')])
  }, 120_000)
})

/** Puts a link to outside in the place of `file` and of `dir`, and takes it away, as fast as it can. */
const SWAP = `
const fs = require('node:fs')
const [work, box] = process.argv.slice(1)
process.chdir(work)
fs.symlinkSync(box + '/outside', 'dir.link')
fs.writeFileSync('file.real', 'inside')
for (let round = 0; ; round++) {
  fs.renameSync('dir', 'dir.real')
  fs.renameSync('dir.link', 'dir')
  fs.symlinkSync(box + '/outside/file', 'next')
  fs.renameSync('next', 'file')
  fs.renameSync('dir', 'dir.link')
  fs.renameSync('dir.real', 'dir')
  fs.linkSync('file.real', 'next')
  fs.renameSync('next', 'file')
  if (round === 0) fs.writeSync(1, 'swapping')
}
`
