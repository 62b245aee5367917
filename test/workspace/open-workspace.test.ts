import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildSync } from 'esbuild'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openWorkspace } from '../../host/workspace/open-workspace.ts'

const isRoot = process.getuid?.() === 0

let home: string
let dataDir: string

beforeEach(() => {
  home = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-workspace-')))
  dataDir = join(home, 'data')
  mkdirSync(dataDir)
})

afterEach(() => rmSync(home, { recursive: true, force: true }))

function folder(...path: string[]): string {
  const made = join(home, ...path)
  mkdirSync(made, { recursive: true })
  return made
}

/** A link `name` in the test's folder to `target`. */
function link(name: string, target: string): string {
  symlinkSync(target, join(home, name))
  return join(home, name)
}

const refused = (why: string) =>
  expect.objectContaining({ code: 'workspace-invalid', message: expect.stringContaining(why) })

test('a folder is opened by its real path', () => {
  const work = folder('work')

  expect(openWorkspace(link('link', work), dataDir).path).toBe(work)
})

test('a folder beside the data folder is fine, however alike the names', () => {
  expect(openWorkspace(folder('data-of-mine'), dataDir).path).toBe(join(home, 'data-of-mine'))
})

test('what is no folder to work in is refused, and why', () => {
  writeFileSync(join(home, 'file'), '')

  expect(() => openWorkspace(join(home, 'none'), dataDir)).toThrow(refused('does not exist'))
  expect(() => openWorkspace(join(home, 'file'), dataDir)).toThrow(refused('is a file'))
  expect(() => openWorkspace('/', dataDir)).toThrow(refused('root of the file system'))
})

test('a folder that holds the data folder, or lies in it, is refused', () => {
  const inside = folder('data', 'sessions')

  for (const path of [home, dataDir, inside]) {
    expect(() => openWorkspace(path, dataDir)).toThrow(refused('holds the sign-in'))
  }
})

test('links on either side do not get around that', () => {
  const work = folder('work')
  const linkToHome = link('link-to-home', home)
  const linkToData = link('link-to-data', dataDir)
  const linkIntoWork = link('link-into-work', folder('work', 'data'))

  expect(() => openWorkspace(linkToHome, dataDir)).toThrow(refused('holds the sign-in'))
  expect(() => openWorkspace(linkToData, dataDir)).toThrow(refused('holds the sign-in'))
  expect(() => openWorkspace(work, linkIntoWork)).toThrow(refused('holds the sign-in'))
})

test('a data folder that will only be made later counts already, also behind a link', () => {
  const work = folder('work')
  const linkToWork = link('link-to-work', work)

  expect(() => openWorkspace(work, join(work, 'later'))).toThrow(refused('holds the sign-in'))
  expect(() => openWorkspace(work, join(linkToWork, 'much', 'later'))).toThrow(
    refused('holds the sign-in'),
  )
})

test.skipIf(process.platform === 'win32')('a folder that cannot be written is refused', () => {
  const work = folder('work')
  const script = join(home, 'open.mjs')
  // As one file, because whoever runs it may not be allowed into our own folder.
  buildSync({
    stdin: { contents: TRY_TO_OPEN, resolveDir: import.meta.dirname, loader: 'ts' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: script,
  })
  chmodSync(work, 0o555)
  // Root may write everywhere, so somebody else has to look.
  for (const path of [home, work, script]) if (isRoot) chownSync(path, 65534, 65534)

  const { stdout } = spawnSync(process.execPath, [script, work, dataDir], {
    encoding: 'utf8',
    ...(isRoot ? { uid: 65534, gid: 65534 } : {}),
  })

  expect(JSON.parse(stdout)).toMatchObject({
    code: 'workspace-invalid',
    message: `The workspace ${work} is not writable for this user.`,
  })
})

const TRY_TO_OPEN = `
import { openWorkspace } from '../../host/workspace/open-workspace.ts'
const [work = '', dataDir = ''] = process.argv.slice(2)
try {
  console.log(JSON.stringify(openWorkspace(work, dataDir)))
} catch (error) {
  const { code, message } = error as Error & { code: string }
  console.log(JSON.stringify({ code, message }))
}
`

test.runIf(isRoot)(
  "root works for the folder's owner, so that no file in it becomes root's",
  () => {
    const work = folder('work')
    chownSync(work, 1234, 5678)

    expect(openWorkspace(work, dataDir).user).toEqual({ uid: 1234, gid: 5678 })
  },
)

test.skipIf(isRoot || process.platform === 'win32')('anybody else works for himself', () => {
  expect(openWorkspace(folder('work'), dataDir).user).toEqual({
    uid: process.getuid?.(),
    gid: process.getgid?.(),
  })
})
