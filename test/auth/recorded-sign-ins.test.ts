import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { signInWithBrowser } from '../../host/auth/sign-in/browser-sign-in.ts'
import { signInWithDevice } from '../../host/auth/sign-in/device-sign-in.ts'
import { signOut } from '../../host/auth/sign-out.ts'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import { packageRoot, packageVersion } from '../../host/package-root.ts'
import { someTokens } from '../fakes/some-tokens.ts'

/**
 * What the official client was seen to do in a sign-in, and what the server answered. The answers are
 * played to our client, and its requests compared with the recorded ones. Every difference is wanted
 * and stands, with its reason, in the table of docs/sign-in.md: in neither more nor fewer places.
 */
interface Recording {
  exitCode: number
  authorizeUrl?: string
  /** What was asked of the callback server, and what it answered. */
  browser?: { name: string; url: string; status: number; location?: string }[]
  exchanges: Exchange[]
}

interface Sent {
  method: string
  path: string
  headers: Record<string, string>
  body: unknown
}

interface Exchange extends Sent {
  answer: { status: number; json: unknown }
}

const recording = (name: string): Recording =>
  JSON.parse(readFileSync(join(packageRoot, 'test', 'fixtures', 'sign-in', `${name}.json`), 'utf8'))

let close: () => void = () => {}
afterEach(() => close())

/** An issuer that gives the recorded answers in their order and keeps what was sent. */
async function play(exchanges: readonly Exchange[]) {
  const sent: Sent[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { method = '', url: path = '', headers } = request
    const body = Buffer.concat(chunks).toString()
    const answer = exchanges[sent.length]?.answer ?? { status: 500, json: {} }
    sent.push({ method, path, headers: headers as Sent['headers'], body })
    response.writeHead(answer.status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(answer.json))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  close = () => server.close()
  const issuer = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  return { issuer, sent }
}

/** One row of the table: what differs where, theirs, ours. */
type Difference = readonly [where: string, what: string, theirs: string, ours: string]
const NONE = 'none'

/** Headers that belong to the connection and not to the message. */
const OF_THE_CONNECTION = ['host', 'connection', 'content-length']

function compare(where: string, theirs: Sent | undefined, ours: Sent | undefined): Difference[] {
  if (!theirs || !ours) return [[where, 'request', theirs ? 'sent' : NONE, ours ? 'sent' : NONE]]
  const differences: Difference[] = []
  const add = (what: string, one = NONE, other = NONE) => {
    if (one !== other) differences.push([where, what, one, other])
  }
  add('method', theirs.method, ours.method)
  add('path', theirs.path, ours.path)
  for (const name of new Set([...Object.keys(theirs.headers), ...Object.keys(ours.headers)])) {
    if (OF_THE_CONNECTION.includes(name)) continue
    add(name, theirs.headers[name], ours.headers[name]?.replace(packageVersion, '<version>'))
  }
  const [one, other] = [fields(theirs.body), fields(ours.body)]
  // One that only one of them has is a difference of its own.
  const order = (a: typeof one, b: typeof one) =>
    [...a.keys()].filter((key) => b.has(key)).join(', ')
  add('order of fields', order(one, other), order(other, one))
  for (const name of new Set([...one.keys(), ...other.keys()])) {
    add(name, shape(name, one.get(name)), shape(name, other.get(name)))
  }
  return differences
}

function fields(body: unknown): Map<string, string> {
  if (typeof body === 'object') return new Map(Object.entries(body ?? {}))
  const text = String(body)
  return new Map(
    text.startsWith('{') ? Object.entries(JSON.parse(text)) : new URLSearchParams(text).entries(),
  )
}

/** What is new in each sign-in is compared by its form, what holds a port or a host without it. */
function shape(name: string, value: string | undefined): string | undefined {
  if (value === undefined) return undefined
  if (['state', 'code_challenge', 'code_verifier'].includes(name) && value.length > 20) {
    return /^[\w-]+$/.test(value) ? `${value.length} random characters` : value
  }
  if (name !== 'redirect_uri') return value
  const url = new URL(value)
  return url.pathname.startsWith('/auth/') ? `${url.hostname}${url.pathname}` : url.pathname
}

const asQuery = (url: string): Sent => {
  const { pathname: path, searchParams } = new URL(url)
  return { method: 'GET', path, headers: {}, body: searchParams.toString() }
}

/** Our own browser sign-in, with the recorded calls of a browser made to it. */
async function browserSignIn(name: string) {
  const { authorizeUrl = '', browser = [], exchanges, exitCode } = recording(name)
  const { issuer, sent } = await play(exchanges)
  const stop = new AbortController()
  let asked: (url: string) => void = () => {}
  const opened = new Promise<string>((resolve) => {
    asked = resolve
  })
  const ended = signInWithBrowser({
    issuer,
    say: () => {},
    save: async () => {},
    openUrl: async (url) => asked(url),
    ports: [0],
    signal: stop.signal,
  }).then(
    () => 'signed in',
    () => 'failed',
  )
  const ourUrl = await opened
  const { searchParams } = new URL(ourUrl)
  const theirState = new URL(authorizeUrl).searchParams.get('state') ?? ''
  const differences = compare('authorize', asQuery(authorizeUrl), asQuery(ourUrl))
  for (const call of browser) {
    const url = new URL(call.url.replace(theirState, searchParams.get('state') ?? ''))
    url.port = new URL(searchParams.get('redirect_uri') ?? '').port
    // The page after the redirect has an address of its own in each.
    if (url.pathname === '/success') continue
    const answer = await fetch(url, { redirect: 'manual' })
    const where = `callback: ${call.name}`
    if (answer.status !== call.status) {
      differences.push([where, 'status', String(call.status), String(answer.status)])
    }
    const location = answer.headers.get('location')
    if (call.location) {
      const { pathname, searchParams: told } = new URL(call.location)
      const theirs = `${pathname} with ${[...told.keys()].join(', ')}`
      if (theirs !== location) differences.push([where, 'location', theirs, location ?? NONE])
    }
    if (location) await fetch(new URL(location, url))
  }
  return { differences, exchanges, sent, exitCode, stop: () => stop.abort(), ended }
}

function ended(where: string, exitCode: number, ours: string): Difference[] {
  const theirs = exitCode === 0 ? 'signed in' : 'failed'
  return theirs === ours ? [] : [[where, 'end', theirs, ours]]
}

async function deviceSignIn(name: string) {
  const { exchanges } = recording(name)
  const { issuer, sent } = await play(exchanges)
  const waits: number[] = []
  const pause = async (ms: number) => {
    waits.push(ms)
  }
  const ended = await signInWithDevice({
    issuer,
    say: () => {},
    save: async () => {},
    pause,
  }).then(
    () => 'signed in',
    () => 'failed',
  )
  const places = ['device: ask for a code', 'device: poll', 'code exchange']
  const where = ({ path }: Sent) =>
    places[['usercode', 'deviceauth/token', 'oauth/token'].findIndex((end) => path.endsWith(end))]
  const differences = exchanges.flatMap((theirs, at) =>
    compare(where(theirs) ?? '', theirs, sent[at]),
  )
  return { differences, exchanges, sent, ended, waits }
}

async function logout() {
  const { exchanges } = recording('logout')
  const { issuer, sent } = await play(exchanges)
  const stored = someTokens({ refresh_token: 'rt_fake_0' })
  const dataDir = mkdtempSync(join(tmpdir(), 'codexbox-recorded-'))
  const store = fileTokenStore(dataDir)
  await store.replace(stored)
  const result = await signOut({ store, issuer })
  rmSync(dataDir, { recursive: true })
  return { differences: compare('logout', exchanges[0], sent[0]), exchanges, sent, result }
}

test('the browser sign-in: our client gets as far on the same answers', async () => {
  const { ended, sent } = await browserSignIn('browser')

  expect(await ended).toBe('signed in')
  // The exchange for an API key is not made.
  expect(sent).toHaveLength(1)
})

test('the refused browser sign-in: wrong calls are waited out, the refusal ends it', async () => {
  const { ended, sent } = await browserSignIn('browser-refused')

  expect(await ended).toBe('failed')
  expect(sent).toEqual([])
})

test('the sign-in that a workspace restriction of Codex ends: ours knows of none', async () => {
  const { ended, sent, exchanges } = await browserSignIn('browser-other-workspace')

  expect(await ended).toBe('signed in')
  expect(sent).toHaveLength(exchanges.length)
})

test('the sign-in by device code: the same requests in the same order and rhythm', async () => {
  const { ended, sent, exchanges, waits } = await deviceSignIn('device')

  expect(ended).toBe('signed in')
  expect(sent.map(({ path }) => path)).toEqual(exchanges.map(({ path }) => path))
  expect(waits).toEqual([1000, 1000])
})

test.each(['device-disabled', 'device-denied'])(
  '%s: it ends after as many requests',
  async (name) => {
    const { ended, sent, exchanges } = await deviceSignIn(name)

    expect(ended).toBe('failed')
    expect(sent).toHaveLength(exchanges.length)
  },
)

test('the sign-out: it revokes what the official client revokes', async () => {
  expect((await logout()).result).toEqual({ status: 'revoked' })
})

test('every difference from the official client is in the table of docs/sign-in.md, and no other', async () => {
  const browser = await browserSignIn('browser')
  const refused = await browserSignIn('browser-refused')
  const restricted = await browserSignIn('browser-other-workspace')
  const cancelled = await browserSignIn('browser-cancelled')
  cancelled.stop()
  const device = await deviceSignIn('device')
  const found = [
    ...browser.differences,
    ...compare('code exchange', browser.exchanges[0], browser.sent[0]),
    ...compare('API key exchange', browser.exchanges[1], browser.sent[1]),
    ...refused.differences,
    ...restricted.differences,
    ...compare('code exchange', restricted.exchanges[0], restricted.sent[0]),
    ...ended('restricted to another workspace', restricted.exitCode, await restricted.ended),
    ...cancelled.differences,
    ...device.differences,
    ...(await logout()).differences,
  ]

  expect(rowsOf(summary(found))).toEqual(rowsOf(documented()))
})

const rowsOf = (differences: readonly Difference[]) =>
  [...new Set(differences.map((difference) => difference.join(' | ')))].sort()

/** What holds for every request to the issuer is said once. */
function summary(found: readonly Difference[]): Difference[] {
  const ofRequests = found.filter(([where]) => /^(code exchange|device|logout)/.test(where))
  const places = new Set(
    ofRequests.filter(([, what]) => what !== 'request').map(([where]) => where),
  )
  return found.map((difference) => {
    const [, what, theirs, ours] = difference
    const same = ofRequests.filter((other) => other.slice(1).join() === [what, theirs, ours].join())
    const isEverywhere = new Set(same.map(([where]) => where)).size === places.size
    return isEverywhere ? ['every request', what, theirs, ours] : difference
  })
}

/** The first table of the page: where, what, theirs, ours, why. */
function documented(): Difference[] {
  const page = readFileSync(join(packageRoot, 'docs', 'sign-in.md'), 'utf8')
  const rows = page
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\| (where|-)/.test(line))
  return rows.map((row) => {
    const [where = '', what = '', theirs = '', ours = '', why = ''] = row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', ''))
    if (!why) throw new Error(`no reason for ${row}`)
    return [where, what, theirs, ours]
  })
}
