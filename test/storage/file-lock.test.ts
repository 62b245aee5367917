import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type FileLockOptions, withFileLock } from '../../host/storage/file-lock.ts'
import { thisProcess } from '../../host/storage/process-identity.ts'

let folder: string
let path: string
const options = { timeoutMs: 0, code: 'session-busy' } as const

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'codexbox-lock-'))
  path = join(folder, 'some.lock')
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('the work is done under the lock, and its result returned', async () => {
  const result = await withFileLock(path, async () => readFileSync(path, 'utf8'), options)

  expect(JSON.parse(result)).toMatchObject({ pid: process.pid })
  expect(readdirSync(folder)).toEqual([])
})

test('the lock is released when the work fails', async () => {
  const work = withFileLock(path, () => Promise.reject(new Error('no')), options)

  await expect(work).rejects.toThrow('no')
  expect(readdirSync(folder)).toEqual([])
})

test('who waits in vain is told for what, with the code of the caller', async () => {
  await withFileLock(
    path,
    async () => {
      const second = withFileLock(path, async () => {}, { timeoutMs: 30, code: 'session-busy' })

      await expect(second).rejects.toMatchObject({
        code: 'session-busy',
        message: expect.stringContaining(`${path} is held by process ${process.pid}`),
      })
    },
    options,
  )
})

test('only one is inside at a time', async () => {
  let inside = 0
  let most = 0
  const work = async () => {
    inside++
    most = Math.max(most, inside)
    await new Promise((resolve) => setImmediate(resolve))
    inside--
  }

  const waiting = { timeoutMs: 10_000, code: 'session-busy' } as const
  await Promise.all(Array.from({ length: 20 }, () => withFileLock(path, work, waiting)))

  expect(most).toBe(1)
})

async function deadPid(): Promise<number> {
  const child = spawn('true')
  await once(child, 'exit')
  return child.pid ?? 0
}

/** A lock file as a process would have left it that differs from this one in `about`. */
const leave = (about: { pid?: number; start?: string; host?: string }) =>
  writeFileSync(path, JSON.stringify({ ...thisProcess(), ...about }))

const makeOld = () => utimesSync(path, 0, 0)
const tomorrow = new Date(Date.now() + 24 * 60 * 60_000)

/** Waits for a lock that is stale after a quarter of a second. */
const patient: FileLockOptions = { timeoutMs: 10_000, staleMs: 250, code: 'session-busy' }

test('the lock of a dead process is taken over at once', async () => {
  leave({ pid: await deadPid() })

  expect(await withFileLock(path, async () => 'mine', options)).toBe('mine')
  expect(readdirSync(folder)).toEqual([])
})

test.runIf(process.platform === 'linux')(
  'the lock of a dead process whose number is in use again is taken over',
  async () => {
    leave({ start: 'another start' })

    expect(await withFileLock(path, async () => 'mine', options)).toBe('mine')
  },
)

test('the lock of a living process is kept, however old its file', async () => {
  leave({})
  makeOld()

  await expect(withFileLock(path, async () => {}, options)).rejects.toThrow('held by')
})

test('the lock of a process of another host is kept while it shows life', async () => {
  leave({ pid: await deadPid(), host: 'another host' })

  await expect(withFileLock(path, async () => {}, options)).rejects.toThrow('held by')

  makeOld()
  expect(await withFileLock(path, async () => 'mine', options)).toBe('mine')
})

test('a lock from the future is taken over when it has shown no life for long enough', async () => {
  leave({ host: 'another host' })
  utimesSync(path, tomorrow, tomorrow)

  await expect(withFileLock(path, async () => {}, options)).rejects.toThrow('held by')
  expect(await withFileLock(path, async () => 'mine', patient)).toBe('mine')
})

test('a holder that shows life is waited for, whatever the clocks say', async () => {
  const order: string[] = []
  const first = withFileLock(
    path,
    async () => {
      await pause(3 * 250)
      order.push('first')
    },
    patient,
  )
  const second = withFileLock(path, async () => order.push('second'), patient)

  await Promise.all([first, second])

  expect(order).toEqual(['first', 'second'])
})

test.each(['', '{"pid":', '{"pid":-1,"host":"x"}', 'null'])(
  'a lock that names nobody (%j) is taken over once it is old',
  async (content) => {
    writeFileSync(path, content)

    await expect(withFileLock(path, async () => {}, options)).rejects.toThrow('unknown process')
    makeOld()

    expect(await withFileLock(path, async () => 'mine', options)).toBe('mine')
  },
)

test('a lock that names nobody and is from the future is taken over after a while', async () => {
  writeFileSync(path, '')
  utimesSync(path, tomorrow, tomorrow)

  expect(await withFileLock(path, async () => 'mine', patient)).toBe('mine')
})

test.runIf(process.getuid?.() !== 0)('a lock that cannot be read names nobody', async () => {
  leave({})
  chmodSync(path, 0)

  await expect(withFileLock(path, async () => {}, options)).rejects.toThrow('unknown process')
  makeOld()
  expect(await withFileLock(path, async () => 'mine', options)).toBe('mine')
})

test('a FIFO in the place of the lock holds nobody', async () => {
  execFileSync('mkfifo', [path])

  await expect(withFileLock(path, async () => {}, options)).rejects.toThrow('unknown process')
})

test('a lock that cannot be made is an error of the caller, and no work is done', async () => {
  const nowhere = join(folder, 'not there', 'some.lock')

  const work = withFileLock(nowhere, () => Promise.reject(new Error('done')), options)

  await expect(work).rejects.toMatchObject({
    code: 'session-busy',
    message: expect.stringContaining('ENOENT'),
  })
})

test('many who find a dead lock do not take it from each other', async () => {
  const pid = await deadPid()
  const waiting = { timeoutMs: 10_000, code: 'session-busy' } as const
  let inside = 0
  let most = 0
  const work = async () => {
    most = Math.max(most, ++inside)
    await new Promise((resolve) => setImmediate(resolve))
    inside--
  }

  // It is a race, and one round of it shows little.
  for (let round = 0; round < 15; round++) {
    leave({ pid })
    await Promise.all(Array.from({ length: 20 }, () => withFileLock(path, work, waiting)))
  }

  expect(most).toBe(1)
  expect(readdirSync(folder)).toEqual([])
})

test('who has lost the lock notices it, and leaves it to its new holder', async () => {
  const work = withFileLock(
    path,
    async (lock) => {
      await lock.check()
      unlinkSync(path)
      leave({ pid: 1 })
      await lock.check()
    },
    options,
  )

  await expect(work).rejects.toMatchObject({
    code: 'session-busy',
    message: expect.stringContaining('was lost to another process'),
  })
  expect(JSON.parse(readFileSync(path, 'utf8')).pid).toBe(1)
})
