import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type DebugLog, type DebugRequest, openDebugLog } from '../host/debug-log.ts'
import { unsignedJwt } from './fakes/issuer.ts'

const TOKEN = 'canary.access/token+1'
const ACCOUNT = 'canary-account'

let folder: string
let file: string
const logs: DebugLog[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'codexbox-debug-'))
  file = join(folder, 'debug.jsonl')
})

afterEach(() => {
  for (const log of logs.splice(0)) log.close()
  rmSync(folder, { recursive: true, force: true })
})

function open(path = file, now?: () => number): DebugLog {
  const log = openDebugLog(path, now)
  logs.push(log)
  return log
}

const aRequest = (about: Partial<DebugRequest> = {}): DebugRequest => ({
  method: 'POST',
  url: new URL('https://service.example/responses'),
  headers: {},
  body: '{}',
  secrets: [TOKEN, ACCOUNT, undefined, ''],
  ...about,
})

const text = () => readFileSync(file, 'utf8')
const lines = (): Record<string, unknown>[] =>
  text()
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))

test('notes what was asked, and when each part of the answer came', () => {
  let now = Date.parse('2026-11-21T10:00:00Z')
  const log = open(file, () => now)

  const exchange = log.request(aRequest({ headers: { 'session-id': 's' }, body: '{"a":"ü"}' }))
  now += 120
  exchange.answered({ status: 200, headers: { 'content-type': 'text/event-stream' } })
  now += 30
  exchange.received(10)
  exchange.received(5)
  now += 1000
  exchange.ended()

  const at = (ms: number) => new Date(Date.parse('2026-11-21T10:00:00Z') + ms).toISOString()
  expect(lines()).toEqual([
    {
      at: at(0),
      id: 1,
      type: 'request',
      afterMs: 0,
      method: 'POST',
      url: 'https://service.example/responses',
      headers: { 'session-id': 's' },
      bytes: 10,
      body: '{"a":"ü"}',
    },
    {
      at: at(120),
      id: 1,
      type: 'headers',
      afterMs: 120,
      status: 200,
      headers: { 'content-type': 'text/event-stream' },
    },
    { at: at(150), id: 1, type: 'first-bytes', afterMs: 150 },
    { at: at(1150), id: 1, type: 'end', afterMs: 1150, bytes: 15 },
  ])
})

test('tells requests apart that go on at the same time', () => {
  const log = open()
  const [one, two] = [log.request(aRequest()), log.request(aRequest())]

  two.ended()
  one.ended({ error: new Error('reset') })

  expect(lines().map(({ id, type, error }) => [id, type, error])).toEqual([
    [1, 'request', undefined],
    [2, 'request', undefined],
    [2, 'end', undefined],
    [1, 'end', 'reset'],
  ])
})

describe('no secret is written', () => {
  const jwt = unsignedJwt({ sub: 'canary' })
  const secrets = [TOKEN, ACCOUNT, jwt, 'canary']

  const expectNoSecret = () => {
    for (const secret of secrets) expect(text()).not.toContain(secret)
    expect(text()).toContain('<masked>')
  }

  test.each([
    ['the header of a request', { headers: { authorization: `Bearer ${TOKEN}` } }],
    ['a header of any name', { headers: { 'x-weird': `a ${TOKEN} b` } }],
    ['the name of a header', { headers: { [TOKEN]: 'x' } }],
    ['a list of headers', { headers: { 'x-weird': ['a', `${ACCOUNT}`] } }],
    ['a header of a telling name', { headers: { 'x-api-key': 'canary', Cookie: 'canary' } }],
    ['the address', { url: new URL(`https://canary:canary@service.example/?t=${ACCOUNT}`) }],
    ['the body', { body: `{"input":"${TOKEN}${TOKEN} and ${ACCOUNT}"}` }],
    ['bytes', { body: Buffer.from(`x${TOKEN}`) }],
    ['the body: a token of somebody else', { body: `{"output":"AUTH=${jwt}"}` }],
    ['the same at the begin of a line', { body: JSON.stringify({ output: `\n${jwt}\n` }) }],
    ['the body: a header', { body: '{"output":"Authorization: bearer canary-1234567"}' }],
    ['the body: a key', { body: '{"output":"sk-canary-0123456789abcdef"}' }],
    ['the method', { method: TOKEN }],
  ] satisfies [string, Partial<DebugRequest>][])('in %s', (_what, about) => {
    open().request(aRequest(about))

    expectNoSecret()
  })

  test('that begins like another', () => {
    open().request(aRequest({ secrets: ['can', 'canary'], body: 'canary can' }))

    expect(lines()[0]).toMatchObject({ body: '<masked> <masked>' })
  })

  test('in what comes back', () => {
    const exchange = open().request(aRequest())

    exchange.answered({ status: 401, headers: { 'set-cookie': ['canary'], 'x-echo': TOKEN } })
    exchange.ended({ refusal: `{"detail":"${TOKEN} is of ${ACCOUNT}, not ${jwt}"}` })
    exchange.ended({ error: new Error(`sent ${TOKEN}`) })

    expectNoSecret()
  })

  test.each([
    ['base64', Buffer.from(TOKEN).toString('base64url')],
    ['base64, a byte before', Buffer.from(`"${TOKEN}"}`).toString('base64')],
    ['hex', Buffer.from(TOKEN).toString('hex')],
    ['HEX', Buffer.from(TOKEN).toString('hex').toUpperCase()],
    ['percent-encoded', encodeURIComponent(TOKEN)],
    [
      'JSON with \\u',
      [...TOKEN].map((char) => `\\u00${Buffer.from(char).toString('hex')}`).join(''),
    ],
  ])('in another form, wherever it stands: %s', (_, form) => {
    const exchange = open().request(
      aRequest({ headers: { 'x-weird': form }, body: JSON.stringify({ output: form }) }),
    )

    exchange.answered({ status: 400, headers: { 'x-echo': form } })
    exchange.ended({ refusal: `{"detail":"${form}"}`, error: new Error(`sent ${form}`) })

    for (const written of [form, JSON.stringify(form), JSON.stringify(JSON.stringify(form))]) {
      expect(text()).not.toContain(written.slice(6, -6))
    }
    expect(text().match(/<masked>/g)).toHaveLength(5)
  })

  test('at the place where a long body is cut', () => {
    const cut = 4 * 1024 * 1024
    open().request(aRequest({ body: `${'x'.repeat(cut - 10)}${TOKEN}` }))

    expect(text()).not.toContain(TOKEN.slice(0, 5))
    expect(lines()[0]).toMatchObject({ bytes: cut - 10 + TOKEN.length })
  })
})

test('what is no secret stays readable', () => {
  const body = JSON.stringify({
    model: 'gpt-5.5',
    input:
      'task-management-with-a-long-name in src/some.file.name.that.is.long.ts, eyJ is no token',
    encrypted_content: 'gAAAA-eyJ0',
  })

  open().request(aRequest({ body, headers: { 'x-openai-authorization-error': 'expired' } }))

  expect(lines()[0]).toMatchObject({ body, headers: { 'x-openai-authorization-error': 'expired' } })
})

test.each(['eyJ', 'eyJ.', 'bearer ', 'sk-', 'e', '.'])(
  'a body of nothing but %j does not hold the host up',
  (part) => {
    const startedAt = performance.now()

    open().request(aRequest({ body: part.repeat(3_000_000) }))

    expect(performance.now() - startedAt).toBeLessThan(5000)
    expect(lines()[0]).toMatchObject({ bytes: 3_000_000 * part.length })
  },
)

test('headers of a prototype are headers', () => {
  open().request(aRequest({ headers: JSON.parse('{"__proto__":"x","constructor":"y"}') }))

  expect(text()).toContain('"headers":{"__proto__":"x","constructor":"y"}')
})

describe('the file', () => {
  test('is only its owner’s, also one that was there, and grows', () => {
    writeFileSync(file, 'before\n', { mode: 0o644 })
    chmodSync(file, 0o644)

    open().request(aRequest())

    if (process.platform !== 'win32') expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(text()).toMatch(/^before\n\{/)
  })

  test('is not made, and nothing is written, when none is named', () => {
    for (const none of [undefined, '']) {
      const log = openDebugLog(none)
      log.request(aRequest()).ended()
      expect(log.problem).toBeUndefined()
    }
  })

  test.each([
    ['a folder', () => mkdirSync(file)],
    ['in no folder', () => rmSync(folder, { recursive: true })],
    ['a pipe', () => spawnSync('mkfifo', [file])],
  ])('that is %s is left alone, with a word and without an error', (_what, make) => {
    make()

    const log = open()
    const exchange = log.request(aRequest())
    exchange.answered({ status: 200, headers: {} })
    exchange.received(1)
    exchange.ended()
    log.close()

    expect(log.problem).toMatch(/^CODEXBOX_DEBUG: nothing is written/)
  })

  test('that is a link is not followed', () => {
    const target = join(folder, 'target')
    writeFileSync(target, 'as it was')
    symlinkSync(target, file)

    const log = open()
    log.request(aRequest())

    expect(log.problem).toContain('ELOOP')
    expect(readFileSync(target, 'utf8')).toBe('as it was')
  })

  test('may be closed before the last answer has come', () => {
    const log = open()
    const exchange = log.request(aRequest())
    log.close()
    log.close()

    exchange.ended()

    expect(lines()).toHaveLength(1)
  })
})
