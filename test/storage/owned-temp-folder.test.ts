import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  addSharedFolder,
  makeOwnedTempFolder,
  removeAbandonedTempFolders,
} from '../../host/storage/owned-temp-folder.ts'
import { thisProcess } from '../../host/storage/process-identity.ts'

let parent: string
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'codexbox-parent-'))
})
afterEach(() => rmSync(parent, { recursive: true, force: true }))

const deadPid = spawnSync(process.execPath, ['-e', '']).pid

/** What somebody else left there. */
function aFolder(name: string, owner: unknown): string {
  const folder = join(parent, name)
  mkdirSync(join(folder, 's'), { recursive: true })
  if (owner !== undefined) writeFileSync(join(folder, 'owner.json'), JSON.stringify(owner))
  return folder
}

const mode = (path: string) => statSync(path).mode & 0o777

test.each(['000', '022', '027', '077', '777'])(
  'it is private, but for what is to be shared in it, with a umask of %s',
  (umask) => {
    const before = process.umask(Number.parseInt(umask, 8))
    let folder: string
    try {
      folder = makeOwnedTempFolder([parent])
      addSharedFolder(folder, 's')
    } finally {
      process.umask(before)
    }

    expect([mode(folder), mode(join(folder, 's')), mode(join(folder, 'owner.json'))]).toEqual([
      0o700, 0o755, 0o600,
    ])
    expect(JSON.parse(readFileSync(join(folder, 'owner.json'), 'utf8'))).toEqual(
      JSON.parse(JSON.stringify(thisProcess())),
    )
  },
)

/** A folder whose sockets have paths of so many bytes. */
function aParentFor(bytes: number, fill = 'x'): string {
  const rest = '/codexbox-run-XXXXXX/s/gateway.sock'
  const missing = bytes - Buffer.byteLength(`${parent}/${rest}`)
  const name = fill.repeat(Math.floor(missing / Buffer.byteLength(fill)))
  const path = join(parent, name.padEnd(name.length + (missing - Buffer.byteLength(name)), 'x'))
  mkdirSync(path)
  return path
}

test.each([
  [90, 'x', true],
  [102, 'x', true],
  [103, 'x', true],
  [104, 'x', false],
  [103, 'ä', true],
  [104, 'ä', false],
  [107, 'x', false],
  [108, 'x', false],
  [109, 'x', false],
  [200, 'x', false],
])('where a socket has a path of %i bytes of %j, it is used: %j', async (bytes, fill, isUsed) => {
  const [asked, other] = [aParentFor(bytes, fill), join(parent, 'other')]
  mkdirSync(other)

  const folder = makeOwnedTempFolder([asked, other])
  const socket = join(addSharedFolder(folder, 's'), 'gateway.sock')
  const server = createServer().listen(socket)
  await once(server, 'listening')

  expect(dirname(folder)).toBe(isUsed ? asked : other)
  expect(Buffer.byteLength(socket) <= 103).toBe(true)
  expect(existsSync(socket)).toBe(true)
  expect(readdirSync(parent).sort()).toEqual([basename(asked), 'other'].sort())
  server.close()
})

test('one that cannot be used is passed over, and where there is none each is told with the reason', () => {
  const file = join(parent, 'file')
  writeFileSync(file, '')
  const unusable = [join(parent, 'missing'), file, '/sys', aParentFor(150)]

  expect(dirname(makeOwnedTempFolder([...unusable, parent]))).toBe(parent)
  expect(() => makeOwnedTempFolder(unusable)).toThrow(
    expect.objectContaining({
      code: 'config-invalid',
      message:
        `No temporary folder could be made: ${unusable[0]} is not there, and ${file} is no folder, ` +
        `and /sys cannot be written to, and ${unusable[3]} has too long a path (a socket in it has 150 bytes, ` +
        'and may have 103). Set TMPDIR to a folder with a short path that you can write to.',
    }),
  )
  expect(readdirSync(parent)).toHaveLength(3)
})

test('what a process that has died left is removed, and nothing else', async () => {
  const dead = aFolder('codexbox-run-dead', { ...thisProcess(), pid: deadPid })
  makeOwnedTempFolder([parent])
  aFolder('codexbox-run-unseen', { ...thisProcess(), pid: deadPid, host: 'another machine' })
  aFolder('codexbox-run-forged', { pid: 'x' })
  aFolder('codexbox-run-nameless', undefined)
  aFolder('codexbox-other', { ...thisProcess(), pid: deadPid })
  const before = readdirSync(parent)

  expect(await removeAbandonedTempFolders([parent])).toEqual([dead])
  expect(readdirSync(parent)).toEqual(before.filter((name) => name !== 'codexbox-run-dead'))
})

test('one without a name is removed when it is old, and only when it is empty', async () => {
  const empty = join(parent, 'codexbox-run-empty')
  mkdirSync(empty)
  const full = aFolder('codexbox-run-full', undefined)
  const young = join(parent, 'codexbox-run-young')
  mkdirSync(young)
  const longAgo = Date.now() / 1000 - 2 * 60 * 60
  for (const folder of [empty, full]) utimesSync(folder, longAgo, longAgo)

  expect(await removeAbandonedTempFolders([parent])).toEqual([empty])
  expect([existsSync(full), existsSync(young)]).toEqual([true, true])
})

test('a link of such a name leads nowhere', async () => {
  const elsewhere = aFolder('elsewhere', { ...thisProcess(), pid: deadPid })
  symlinkSync(elsewhere, join(parent, 'codexbox-run-link'))

  expect(await removeAbandonedTempFolders([parent])).toEqual([])
  expect(existsSync(join(elsewhere, 'owner.json'))).toBe(true)
})

test.runIf(process.getuid?.() === 0)("another user's is not looked at", async () => {
  const folder = aFolder('codexbox-run-theirs', { ...thisProcess(), pid: deadPid })
  chownSync(folder, 12_345, 12_345)

  expect(await removeAbandonedTempFolders([parent])).toEqual([])
})

test('two that clean at the same time do not mind each other', async () => {
  for (let i = 0; i < 20; i++) {
    aFolder(`codexbox-run-${i}`, { ...thisProcess(), pid: deadPid })
  }

  await Promise.all([removeAbandonedTempFolders([parent]), removeAbandonedTempFolders([parent])])

  expect(readdirSync(parent)).toEqual([])
})

test('where nothing can be read, nothing is done', async () => {
  expect(await removeAbandonedTempFolders([join(parent, 'missing')])).toEqual([])
})
