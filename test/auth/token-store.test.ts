import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fileTokenStore, type TokenStore } from '../../host/auth/token-store.ts'
import { holdFileLock } from '../../host/storage/file-lock.ts'
import { failure } from '../failure.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { scriptPackage } from '../script-package.ts'

const script = await scriptPackage('test/auth/token-process.ts')

let root: string
let dataDir: string
let file: string
let store: TokenStore

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'codexbox-store-'))
  dataDir = join(root, 'da ta:ü')
  file = join(dataDir, 'codex-tokens.json')
  store = fileTokenStore(dataDir)
})

afterEach(() => rmSync(root, { recursive: true, force: true }))

const modeOf = (path: string) => statSync(path).mode & 0o777
const put = (text: string | Buffer) => {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  writeFileSync(file, text, { mode: 0o600 })
}

test('what was put in comes out again, and only the owner can read it', async () => {
  const tokens = someTokens()

  await store.replace(tokens)

  expect(await store.read()).toEqual(tokens)
  expect(store.peek()).toEqual(tokens)
  expect(modeOf(file)).toBe(0o600)
  expect(modeOf(dataDir)).toBe(0o700)
  expect(readdirSync(dataDir)).toEqual(['codex-tokens.json'])
})

test('an empty store has no tokens, and a look makes no folder', async () => {
  expect(store.peek()).toBeUndefined()
  expect(await store.read()).toBeUndefined()
  expect(existsSync(dataDir)).toBe(false)
})

test('an update is given what is stored and stores what it returns', async () => {
  await store.replace(someTokens({ email: 'old@example.com' }))

  await store.update(async (current) => ({ ...someTokens(), email: `not ${current?.email}` }))

  expect((await store.read())?.email).toBe('not old@example.com')
})

test('an update that throws or changes nothing leaves the file untouched', async () => {
  await store.replace(someTokens())
  const before = statSync(file)

  await store.update(async (current) => current ?? someTokens())
  const failing = store.update(() => Promise.reject(new Error('no')))

  await expect(failing).rejects.toThrow('no')
  expect(statSync(file).ino).toBe(before.ino)
  expect(readdirSync(dataDir)).toEqual(['codex-tokens.json'])
})

test('updates wait for each other', async () => {
  await store.replace(someTokens({ last_refresh: 0 }))

  const others = Array.from({ length: 10 }, () => fileTokenStore(dataDir))
  await Promise.all(
    others.map((other) =>
      other.update(async (current) =>
        someTokens({ last_refresh: (current?.last_refresh ?? 0) + 1 }),
      ),
    ),
  )

  expect((await store.read())?.last_refresh).toBe(10)
})

test('a file and a folder that others may read are closed to them', async () => {
  put(JSON.stringify(someTokens()))
  chmodSync(file, 0o644)
  chmodSync(dataDir, 0o777)

  await store.update(async (current) => current ?? someTokens())

  expect(modeOf(file)).toBe(0o600)
  expect(modeOf(dataDir)).toBe(0o700)
})

// Only root can give a file away.
test.runIf(process.getuid?.() === 0)('what belongs to another user is refused', async () => {
  put(JSON.stringify(someTokens()))
  chownSync(file, 12345, 12345)

  await expect(store.read()).rejects.toThrow('it belongs to another user')

  chownSync(dataDir, 12345, 12345)
  await expect(store.prepare()).rejects.toThrow('the folder belongs to another user')
})

test.each(['with a space', 'ünï', 'a:b', "quote's", 'x'.repeat(200)])(
  'a folder called %s does as well',
  async (name) => {
    const other = fileTokenStore(join(root, name, 'data'))

    await other.replace(someTokens())
    await other.update(async (current) => ({ ...(current ?? someTokens()), plan: 'plus' }))

    expect((await other.read())?.plan).toBe('plus')
    expect(readdirSync(join(root, name, 'data'))).toEqual(['codex-tokens.json'])
  },
)

test.skip('NFS and a file system without case do as well (none can be mounted here)', () => {})

test('a look repairs nothing', () => {
  put(JSON.stringify(someTokens()))
  chmodSync(file, 0o644)

  store.peek()

  expect(modeOf(file)).toBe(0o644)
})

const utf16 = Buffer.from(`\ufeff${JSON.stringify(someTokens())}`, 'utf16le')
test.each([
  ['empty', ''],
  ['torn', '{"version":1,"access_token":"canary-tor'],
  ['full of NULs', '\0'.repeat(100)],
  ['UTF-16', utf16],
  ['an array', '[]'],
  ['null', 'null'],
  ['a number', '7'],
  ['too large', ' '.repeat(1024 * 1024 + 1)],
  ['of another version', JSON.stringify({ ...someTokens(), version: 2 })],
  ['without refresh token', JSON.stringify({ ...someTokens(), refresh_token: undefined })],
  ['without access token', JSON.stringify({ ...someTokens(), access_token: '' })],
  ['with an expiry that is text', JSON.stringify({ ...someTokens(), expires_at: 'canary' })],
  ['with an expiry before time', JSON.stringify({ ...someTokens(), expires_at: -1 })],
  ['with an expiry beyond time', JSON.stringify({ ...someTokens(), expires_at: 1e308 })],
])('a file that is %s is named, not shown, and set aside by who may write', async (_, content) => {
  const attempts = [
    () => store.read(),
    () => store.update(async () => someTokens()),
    () => fileTokenStore(dataDir).read(),
  ]

  for (const attempt of attempts) {
    put(content)
    chmodSync(file, 0o644)
    const looked = await failure(Promise.resolve().then(store.peek))
    expect(looked).toMatchObject({ code: 'tokens-invalid' })
    expect(String(looked)).toContain(`${file} is damaged`)
    expect(readdirSync(dataDir)).toEqual(['codex-tokens.json'])

    const error = await failure(attempt())

    const aside = store.setAside() ?? ''
    expect(readdirSync(dataDir)).toEqual([basename(aside)])
    expect(readFileSync(aside).equals(Buffer.from(content))).toBe(true)
    expect(modeOf(aside)).toBe(0o600)
    expect(error).toMatchObject({ code: 'tokens-invalid' })
    expect(String(error)).toContain(`${file} was damaged`)
    expect(String(error)).toContain(`is now ${aside}. Sign in again`)
    expect(inspected(looked) + inspected(error)).not.toContain('canary')
    rmSync(aside)
  }
})

test('once it is set aside, nobody is signed in, and a good copy put back is', async () => {
  put('{"torn')
  await failure(store.read())

  expect(await store.read()).toBeUndefined()
  put(JSON.stringify(someTokens({ email: 'kept@example.com' })))

  expect((await store.read())?.email).toBe('kept@example.com')
  expect(store.setAside()).toBeDefined()
})

test('what a renewal left behind stays when the file is set aside', async () => {
  put('{"torn')
  writeFileSync(`${file}.1.renewal`, '{"an answer that a good copy can take up"}', { mode: 0o600 })

  await failure(store.update(async () => someTokens()))

  expect(readdirSync(dataDir)).toContain('codex-tokens.json.1.renewal')
})

test('a file that was damaged for a moment only is not set aside', async () => {
  put('{"torn')
  const release = await holdFileLock(`${file}.lock`, { timeoutMs: 0, code: 'internal' })

  const reading = store.read()
  put(JSON.stringify(someTokens({ email: 'mended@example.com' })))
  await release()

  expect(await reading).toMatchObject({ email: 'mended@example.com' })
})

test('a new sign-in sets a damaged file aside, says where, and takes its place', async () => {
  put('{"torn')
  await store.prepare()
  expect(readdirSync(dataDir)).toEqual(['codex-tokens.json'])

  const aside = await store.replace(someTokens())

  expect(aside).toBe(store.setAside())
  expect(readFileSync(aside ?? '', 'utf8')).toBe('{"torn')
  expect(await store.read()).toBeDefined()
  expect(await store.replace(someTokens())).toBeUndefined()
})

test('removing the sign-in removes what was set aside, for it may hold tokens', async () => {
  put('{"torn')
  await store.replace(someTokens())

  await store.remove()

  expect(readdirSync(dataDir)).toEqual([])
})

const strange: [string, () => void][] = [
  ['a link', () => symlinkSync(join(root, 'elsewhere'), file)],
  ['a dangling link', () => symlinkSync(join(root, 'nowhere'), file)],
  ['a folder', () => mkdirSync(file)],
  ['a FIFO', () => execFileSync('mkfifo', [file])],
]
test.each(strange)('%s is refused, and nothing is written through it', async (_, make) => {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  writeFileSync(join(root, 'elsewhere'), JSON.stringify(someTokens()))
  make()

  const attempts = [
    () => store.read(),
    () => store.prepare(),
    () => store.replace(someTokens()),
    () => store.update(async () => someTokens()),
    () => store.remove(),
  ]

  for (const attempt of attempts) {
    await expect(attempt()).rejects.toMatchObject({ code: 'tokens-invalid' })
  }
  expect(() => store.peek()).toThrow(file)
  expect(existsSync(join(root, 'nowhere'))).toBe(false)
  expect(readFileSync(join(root, 'elsewhere'), 'utf8')).toContain('canary-access-token')
})

test('what a save that was killed left behind does no harm', async () => {
  await store.replace(someTokens({ email: 'first@example.com' }))
  writeFileSync(`${file}.1-dead.tmp`, '{"half', { mode: 0o600 })

  expect((await store.read())?.email).toBe('first@example.com')
  await store.replace(someTokens({ email: 'second@example.com' }))

  expect((await store.read())?.email).toBe('second@example.com')
})

test('a save makes a new file and never writes into the old one', async () => {
  await store.replace(someTokens({ email: 'first@example.com' }))
  linkSync(file, join(root, 'kept'))

  await store.replace(someTokens({ email: 'second@example.com' }))

  expect(readFileSync(join(root, 'kept'), 'utf8')).toContain('first@example.com')
})

test('nothing is spent when there is no room to save the result', async () => {
  await store.replace(someTokens({ email: 'kept@example.com', expires_at: 0 }))

  // A process that may write 8 KB to a file is as good as a full disk, and needs no mount.
  const limited = `trap '' XFSZ; ulimit -f 16; exec "$0" "$1" ask "$2"`
  const args = ['-c', limited, process.execPath, script, optionsFor(dataDir)]
  const child = spawnSync('bash', args, { encoding: 'utf8', input: 'go\n' })

  expect(child.stdout).toContain('error refresh-failed')
  expect(child.stdout).toContain('EFBIG')
  expect((await store.read())?.email).toBe('kept@example.com')
  expect(readdirSync(dataDir)).toEqual(['codex-tokens.json'])
})

const optionsFor = (folder: string) =>
  JSON.stringify({ dataDir: folder, issuer: 'http://127.0.0.1:9' })

/** A mount of one's own, that nobody else sees and that ends with its process. */
const canMount = spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0
test.runIf(canMount).each([
  ['a disk that is full', 'head -c 1M /dev/zero > "$1/filling" || true', 'ENOSPC'],
  ['a disk that is read-only', 'mount -o remount,ro "$1"', 'EROFS'],
])('with %s nothing is sent', async (_, make, code) => {
  await store.replace(someTokens({ expires_at: 0 }))
  const mount = `set -e; mount -t tmpfs -o size=64k,mode=0700 none "$1"; cp "$2" "$1/codex-tokens.json"; ${make}`
  const renew = 'exec "$0" "$3" ask "$4"'
  const disk = mkdtempSync(join(root, 'disk-'))
  const args = [disk, file, script, optionsFor(disk)]

  const child = spawnSync(
    'unshare',
    ['-m', 'bash', '-c', `${mount}; ${renew}`, process.execPath, ...args],
    { encoding: 'utf8', input: 'go\n' },
  )

  expect(child.stdout).toContain('error refresh-failed')
  expect(child.stdout).toContain(code)
})

test('removing is done once and can be done twice', async () => {
  await store.replace(someTokens())

  await store.remove()
  await store.remove()

  expect(await store.read()).toBeUndefined()
})

function inspected(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return `${error.message} ${error.stack} ${JSON.stringify(error)} ${inspected(error.cause)}`
}
