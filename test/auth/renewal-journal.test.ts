import { createHash } from 'node:crypto'
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { renewUnderLock } from '../../host/auth/renewal/renew.ts'
import { usableTokens } from '../../host/auth/renewal/usable-tokens.ts'
import { tokenReply } from '../../host/auth/token-endpoint.ts'
import { fileTokenStore, type TokenStore } from '../../host/auth/token-store.ts'
import type { Tokens } from '../../host/auth/tokens.ts'
import { thisProcess } from '../../host/storage/process-identity.ts'
import { failure } from '../failure.ts'
import { type FakeIssuer, type Grant, startFakeIssuer } from '../fakes/issuer.ts'
import { someTokens } from '../fakes/some-tokens.ts'

let dataDir: string
let file: string
let store: TokenStore
let issuer: FakeIssuer

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'codexbox-journal-'))
  file = join(dataDir, 'codex-tokens.json')
  store = fileTokenStore(dataDir)
  issuer = await startFakeIssuer()
})

afterEach(async () => {
  await issuer.close()
  rmSync(dataDir, { recursive: true, force: true })
})

const ask = (rejected?: string) =>
  usableTokens({ store, renew: renewUnderLock({ store, issuer: issuer.url }) })(rejected)

async function signedIn(): Promise<Tokens> {
  const tokens = someTokens({ ...issuer.grant(), expires_at: 0 })
  await store.replace(tokens)
  return tokens
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const leftovers = () => readdirSync(dataDir).filter((name) => name !== 'codex-tokens.json')

/** A process that is no more. */
const GONE = { ...thisProcess(), start: 'another start' }

interface Left {
  refreshToken: string
  answer?: unknown
  /** The body of an answer that is not JSON. */
  body?: string
  /** The line of the answer, where it is not one. */
  text?: string
  process?: object
  isRepeat?: boolean
}

/** What a process leaves that dies after it has begun a renewal. */
function leave(left: Left): string {
  const { refreshToken, answer, body, text, process = GONE, isRepeat: is_repeat = false } = left
  const path = `${file}.left.renewal`
  const intent = { refresh_token_sha256: sha256(refreshToken), started_at: 0, is_repeat, process }
  const received = body ?? (answer ? JSON.stringify(answer) : undefined)
  const second = text ?? (received ? JSON.stringify({ status: 200, body: received }) : '')
  writeFileSync(path, `${JSON.stringify(intent)}\n${second}\n`.padEnd(65536, ' '), { mode: 0o600 })
  return path
}

/** The answer to a renewal of `tokens` that somebody else has asked for. */
async function answerTo({ refresh_token }: Tokens): Promise<Grant> {
  const body = JSON.stringify({ grant_type: 'refresh_token', refresh_token })
  const response = await fetch(new URL('/oauth/token', issuer.url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  })
  issuer.counts.refresh = 0
  return (await response.json()) as Grant
}

test('while the answer is awaited, the intent is on the disk, and the token itself is not', async () => {
  const before = await signedIn()
  let text = ''
  issuer.beforeRefreshAnswer = async () => {
    const [name = ''] = leftovers().filter((each) => each.endsWith('.renewal'))
    text = readFileSync(join(dataDir, name), 'utf8')
  }

  await ask()

  expect(JSON.parse(text)).toMatchObject({
    refresh_token_sha256: sha256(before.refresh_token),
    process: { pid: process.pid },
  })
  expect(text).not.toContain(before.refresh_token)
  expect(leftovers()).toEqual([])
})

test('the answer is on the disk as it came, before anything looks at it', async () => {
  const before = await signedIn()
  const body = `{ "access_token" :"\\u0061${'x'.repeat(3000)}",\n "more": [1] }`
  let text = ''

  const update = store.update(async (current = before, spend) => {
    const reply = tokenReply({ status: 200, body, retryAfter: '7' })
    Object.defineProperty(reply, 'json', {
      get: () => {
        const [name = ''] = leftovers().filter((each) => each.endsWith('.renewal'))
        text ||= readFileSync(join(dataDir, name), 'utf8')
        return undefined
      },
    })
    await spend(current, async () => reply)
    return current
  })

  await update
  const [, second = ''] = text.split('\n')
  expect(JSON.parse(second)).toEqual({ status: 200, body, retryAfter: '7' })
})

test('an answer that a dead process had received is adopted, and nothing is sent', async () => {
  const before = await signedIn()
  const answer = await answerTo(before)
  leave({ refreshToken: before.refresh_token, answer })

  const after = await ask()

  expect(after).toMatchObject({
    access_token: answer.access_token,
    refresh_token: answer.refresh_token,
  })
  expect(await store.read()).toEqual(after)
  expect(issuer.counts.refresh).toBe(0)
  expect(leftovers()).toEqual([])
})

test('an answer is adopted though its file was opened to others', async () => {
  const before = await signedIn()
  const answer = await answerTo(before)
  chmodSync(leave({ refreshToken: before.refresh_token, answer }), 0o666)

  expect((await ask()).access_token).toBe(answer.access_token)
})

test('an answer that was stored already is not taken for a new one', async () => {
  const before = await signedIn()
  issuer.rotates = false
  const { access_token, refresh_token, id_token } = before
  leave({ refreshToken: refresh_token, answer: { access_token, refresh_token, id_token } })

  const after = await ask(access_token)

  expect(after.access_token).not.toBe(access_token)
  expect(issuer.counts.refresh).toBe(1)
  expect(leftovers()).toEqual([])
})

const useless: [string, (before: Tokens) => void][] = [
  ['of another refresh token', () => leave({ refreshToken: 'older', answer: issuer.grant() })],
  ['without an answer', ({ refresh_token }) => leave({ refreshToken: refresh_token })],
  [
    'with half an answer',
    ({ refresh_token }) =>
      leave({ refreshToken: refresh_token, text: '{"status":200,"body":"{\\"acc' }),
  ],
  [
    'with an answer that is no JSON',
    ({ refresh_token }) => leave({ refreshToken: refresh_token, body: '<html>' }),
  ],
  ['empty', () => writeFileSync(`${file}.left.renewal`, '')],
  ['full of NULs', () => writeFileSync(`${file}.left.renewal`, '\0'.repeat(65536))],
  ['too large', () => writeFileSync(`${file}.left.renewal`, ' '.repeat(1024 * 1024 + 1))],
  ['a link', () => symlinkSync('/etc/passwd', `${file}.left.renewal`)],
  ['a save without intent', () => writeFileSync(`${file}.left.tmp`, JSON.stringify(someTokens()))],
  [
    'of a process of another machine',
    ({ refresh_token }) =>
      leave({ refreshToken: refresh_token, process: { pid: process.pid, host: 'elsewhere' } }),
  ],
]
test.each(useless)('what is left %s is discarded, and the token sent once', async (_, make) => {
  const before = await signedIn()
  make(before)

  const after = await ask()

  expect(after.refresh_token).not.toBe(before.refresh_token)
  expect(issuer.counts.refresh).toBe(1)
  expect(issuer.reuses).toEqual([])
  expect(leftovers()).toEqual([])
})

test('an answer for another account is refused, and then discarded', async () => {
  const before = await signedIn()
  issuer.account = { ...issuer.account, id: 'account-2' }
  leave({ refreshToken: before.refresh_token, answer: issuer.grant() })

  await expect(ask()).rejects.toThrow('another account')

  expect(await store.read()).toEqual(before)
  expect(leftovers()).toEqual([])
})

test('an answer lost on the way: tried again once, known as lost, and never deleted', async () => {
  const before = await signedIn()
  issuer.refreshReplies = ['lost']

  const errors = [await failure(ask()), await failure(ask()), await failure(ask())]

  expect(errors.map((error) => (error as { code?: string }).code)).toEqual([
    'refresh-failed',
    'not-signed-in',
    'not-signed-in',
  ])
  expect((errors[1] as Error).message).toContain('broke off before its answer was here')
  expect(issuer.counts.refresh).toBe(2)
  expect(await store.read()).toEqual({ ...before, dead: 'lost' })
  expect(leftovers()).toEqual([])
})

const unreadable = {
  'no JSON': '<html>canary</html>',
  'torn JSON': '{"access_token":"canary-torn',
  'JSON without a token': '{"hello":"canary"}',
}
test.each(Object.entries(unreadable))(
  'an answer of success that is %s is kept as it came; when the token then turns out to be spent, it is known as lost',
  async (_, body) => {
    const before = await signedIn()
    await answerTo(before) // The service has taken the token.
    issuer.refreshReplies = [{ status: 200, text: body }]

    const first = await failure(ask())

    expect(first).toMatchObject({ code: 'refresh-failed' })
    expect(String(first)).not.toContain('canary')
    const [name = ''] = leftovers()
    const [, second = ''] = readFileSync(join(dataDir, name), 'utf8').split('\n')
    expect(JSON.parse(second)).toEqual({ status: 200, body })
    expect(await store.read()).toEqual(before)

    expect(await failure(ask())).toMatchObject({ code: 'not-signed-in' })
    expect(await store.read()).toEqual({ ...before, dead: 'lost' })
    expect(leftovers()).toEqual([])
  },
)

test('an answer of success that cannot be read, from a server in between: the next try renews', async () => {
  await signedIn()
  issuer.refreshReplies = [{ status: 200, text: '<html>Log in to this network</html>' }]
  await failure(ask())

  const after = await ask()

  expect(await store.read()).toEqual(after)
  expect(leftovers()).toEqual([])
})

test.each([
  ['who was the first to send the token', false, 'reused'],
  ['who repeated what had broken off', true, 'lost'],
])('a refusal that a dead process had received, %s', async (_, isRepeat, dead) => {
  const before = await signedIn()
  const text = JSON.stringify({ status: 401, body: '{"error":{"code":"refresh_token_reused"}}' })
  leave({ refreshToken: before.refresh_token, text, isRepeat })

  expect(await failure(ask())).toMatchObject({ code: 'not-signed-in' })

  expect(await store.read()).toEqual({ ...before, dead })
  expect(issuer.counts.refresh).toBe(0)
})

test('a third try, after two that broke off, finds the sign-in revoked, and lost all the same', async () => {
  const before = await signedIn()
  issuer.refreshReplies = ['lost', 'lost']

  for (const _ of [1, 2, 3]) await failure(ask())

  expect(issuer.reuses.length).toBe(1)
  expect(await store.read()).toEqual({ ...before, dead: 'lost' })
})

test('a connection cut before the service did anything: the next attempt renews', async () => {
  await signedIn()
  issuer.refreshReplies = ['cut']
  await failure(ask())

  const after = await ask()

  expect(await store.read()).toEqual(after)
  expect(leftovers()).toEqual([])
})

test('who has lost the lock before it sends does not send', async () => {
  await signedIn()

  const update = store.update(async (current = someTokens(), spend) => {
    unlinkSync(`${file}.lock`)
    writeFileSync(`${file}.lock`, JSON.stringify(thisProcess()))
    await spend(current, () => Promise.reject(new Error('sent')))
    return current
  })

  await expect(update).rejects.toMatchObject({
    code: 'refresh-failed',
    message: expect.stringContaining('was lost to another process'),
  })
  expect(leftovers()).toEqual(['codex-tokens.json.lock'])
})

test('who has lost the lock before it writes does not write', async () => {
  const before = await signedIn()

  const update = store.update(async () => {
    unlinkSync(`${file}.lock`)
    return someTokens({ email: 'late@example.com' })
  })

  await expect(update).rejects.toThrow('was lost to another process')
  expect(await store.read()).toEqual(before)
  expect(leftovers()).toEqual([])
})

test('a save that is overtaken between its check and its rename changes nothing', async () => {
  await signedIn()
  writeFileSync(`${file}.of-the-one-who-was-stopped.tmp`, 'canary')

  await store.replace(someTokens({ email: 'new@example.com' }))

  // So its rename has nothing to rename.
  expect(leftovers()).toEqual([])
})

test('an answer that was left does not bring back who has signed out', async () => {
  const before = await signedIn()
  leave({ refreshToken: before.refresh_token, answer: await answerTo(before) })

  await store.remove()

  expect(readdirSync(dataDir)).toEqual([])
  await expect(ask()).rejects.toMatchObject({ code: 'not-signed-in' })
})

test('a new sign-in is not replaced by an answer about the old one', async () => {
  const before = await signedIn()
  leave({ refreshToken: before.refresh_token, answer: await answerTo(before) })
  const mine = someTokens(issuer.grant())

  await store.replace(mine)

  expect(await ask()).toEqual(mine)
  expect(leftovers()).toEqual([])
})

test('no error about a renewal says a token', async () => {
  const before = await signedIn()
  const errors: unknown[] = []
  for (const text of [`{"status":200,"body":"{${before.access_token}`, 'canary']) {
    issuer.refreshReplies = ['cut']
    leave({ refreshToken: before.refresh_token, text })
    errors.push(await failure(ask()))
  }
  leave({ refreshToken: before.refresh_token, process: thisProcess() })
  errors.push(await failure(ask()))

  expect(errors[2]).toMatchObject({ message: expect.stringContaining('is in the middle of') })
  const said = inspect(errors, { depth: 20, showHidden: true })
  for (const secret of [...issuer.secrets, 'canary']) expect(said).not.toContain(secret)
})
