import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { withFileLock } from '../../host/storage/file-lock.ts'

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
        message: expect.stringContaining(`${path}, which process ${process.pid} holds`),
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

test('T8: the lock of a dead process is taken over at once', async () => {
  writeFileSync(path, JSON.stringify({ pid: await deadPid(), start: 'x', token: 'dead' }))

  expect(await withFileLock(path, async () => 'mine', options)).toBe('mine')
  expect(readdirSync(folder)).toEqual([])
})

test.runIf(process.platform === 'linux')(
  'T8: the lock of a dead process whose number is in use again is taken over',
  async () => {
    writeFileSync(path, JSON.stringify({ pid: process.pid, start: 'boot/1', token: 'dead' }))

    expect(await withFileLock(path, async () => 'mine', options)).toBe('mine')
  },
)

test('T8: the lock of a living process is kept, however old', async () => {
  // Process 1 may belong to somebody else: not being allowed to ask is being alive.
  writeFileSync(path, JSON.stringify({ pid: 1, token: 'alive' }))
  utimesSync(path, 0, 0)

  await expect(withFileLock(path, async () => {}, options)).rejects.toThrow('process 1 holds')
})

test.each(['', '{"pid":', '{"pid":-1,"token":"x"}', 'null'])(
  'T8: a lock that names nobody (%j) is taken over once it is old',
  async (content) => {
    writeFileSync(path, content)

    await expect(withFileLock(path, async () => {}, options)).rejects.toThrow('unknown process')
    utimesSync(path, 0, 0)

    expect(await withFileLock(path, async () => 'mine', options)).toBe('mine')
  },
)

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
    writeFileSync(path, JSON.stringify({ pid, start: 'x', token: 'dead' }))
    await Promise.all(Array.from({ length: 20 }, () => withFileLock(path, work, waiting)))
  }

  expect(most).toBe(1)
  expect(readdirSync(folder)).toEqual([])
})

test('a lock that was lost is not removed from its new holder', async () => {
  const other = JSON.stringify({ pid: 1, token: 'other' })

  await withFileLock(path, async () => writeFileSync(path, other), options)

  expect(readFileSync(path, 'utf8')).toBe(other)
})
