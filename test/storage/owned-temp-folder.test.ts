import { spawnSync } from 'node:child_process'
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
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
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

test('it is private, and short enough for a socket in it', () => {
  const folder = makeOwnedTempFolder(parent)

  expect(statSync(folder).mode & 0o777).toBe(0o700)
  expect(JSON.parse(readFileSync(join(folder, 'owner.json'), 'utf8'))).toEqual(
    JSON.parse(JSON.stringify(thisProcess())),
  )
  expect(join('/s/gateway.sock', folder.slice(parent.length)).length).toBeLessThan(40)
})

test('what a process that has died left is removed, and nothing else', async () => {
  const dead = aFolder('codexbox-run-dead', { ...thisProcess(), pid: deadPid })
  makeOwnedTempFolder(parent)
  aFolder('codexbox-run-unseen', { ...thisProcess(), pid: deadPid, host: 'another machine' })
  aFolder('codexbox-run-forged', { pid: 'x' })
  aFolder('codexbox-run-nameless', undefined)
  aFolder('codexbox-other', { ...thisProcess(), pid: deadPid })
  const before = readdirSync(parent)

  expect(await removeAbandonedTempFolders(parent)).toEqual([dead])
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

  expect(await removeAbandonedTempFolders(parent)).toEqual([empty])
  expect([existsSync(full), existsSync(young)]).toEqual([true, true])
})

test('a link of such a name leads nowhere', async () => {
  const elsewhere = aFolder('elsewhere', { ...thisProcess(), pid: deadPid })
  symlinkSync(elsewhere, join(parent, 'codexbox-run-link'))

  expect(await removeAbandonedTempFolders(parent)).toEqual([])
  expect(existsSync(join(elsewhere, 'owner.json'))).toBe(true)
})

test.runIf(process.getuid?.() === 0)("another user's is not looked at", async () => {
  const folder = aFolder('codexbox-run-theirs', { ...thisProcess(), pid: deadPid })
  chownSync(folder, 12_345, 12_345)

  expect(await removeAbandonedTempFolders(parent)).toEqual([])
})

test('two that clean at the same time do not mind each other', async () => {
  for (let i = 0; i < 20; i++) {
    aFolder(`codexbox-run-${i}`, { ...thisProcess(), pid: deadPid })
  }

  await Promise.all([removeAbandonedTempFolders(parent), removeAbandonedTempFolders(parent)])

  expect(readdirSync(parent)).toEqual([])
})

test('where nothing can be read, nothing is done', async () => {
  expect(await removeAbandonedTempFolders(join(parent, 'missing'))).toEqual([])
})
