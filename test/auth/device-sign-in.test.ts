import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  type DeviceSignInOptions,
  signInWithDevice,
} from '../../host/auth/sign-in/device-sign-in.ts'
import type { Tokens } from '../../host/auth/tokens.ts'
import { type FakeIssuer, type Reply, startFakeIssuer } from '../fakes/issuer.ts'

let issuer: FakeIssuer
let said: string[]
let saved: Tokens[]
/** Goes on only when somebody waits. */
let clock: number
let waits: number[]

beforeEach(async () => {
  issuer = await startFakeIssuer()
  said = []
  saved = []
  clock = 1_800_000_000_000
  waits = []
})

afterEach(() => issuer.close())

/** A sign-in whose person enters the code after `seconds`. */
function signIn(seconds: number, about: Partial<DeviceSignInOptions> = {}) {
  const began = clock
  issuer.device.approved = seconds === 0
  return signInWithDevice({
    issuer: issuer.url,
    say: (line) => said.push(line),
    save: async (tokens) => {
      saved.push(tokens)
    },
    now: () => clock,
    pause: async (ms, signal) => {
      signal?.throwIfAborted()
      waits.push(ms)
      clock += ms
      issuer.device.approved = clock - began >= seconds * 1000
    },
    ...about,
  })
}

const polls = () => issuer.requests.filter(({ path }) => path.endsWith('deviceauth/token'))

test('a person signs in with a code on another device', async () => {
  const tokens = await signIn(3)

  expect(tokens).toMatchObject({ account_id: 'account-1', email: 'ada@example.com', plan: 'plus' })
  expect(saved).toEqual([tokens])
  expect(waits).toEqual([1000, 1000, 1000])
  const form = new URLSearchParams(issuer.tokenRequests[0]?.body)
  expect(form.get('redirect_uri')).toBe(`${issuer.url.origin}/deviceauth/callback`)
})

test('before the first poll it says the setting, the address, the code and the danger', async () => {
  let pollsBefore = -1
  const say = (line: string) => {
    said.push(line)
    pollsBefore = polls().length
  }

  await signIn(0, { say })

  expect(pollsBefore).toBe(0)
  expect(said.join('\n')).toMatch(/Settings > Security/)
  expect(said.join('\n')).toContain(`${issuer.url.origin}/codex/device`)
  expect(said.join('\n')).toContain('ABCD-12345')
  expect(said.join('\n')).toContain('wants your account')
})

test('403 and 404 both mean not yet', async () => {
  issuer.device.pollReplies = [{ status: 403 }, { status: 404, json: {} }, { status: 403 }]

  await signIn(0)

  expect(polls()).toHaveLength(4)
})

const refusal = (status: number, code: string): Reply => ({ status, json: { error: { code } } })

test.each([
  [403, 'deviceauth_authorization_pending'],
  [403, 'deviceauth_authorization_unknown'],
  [400, 'authorization_pending'],
])('%d %s means not yet', async (status, code) => {
  issuer.device.pollReplies = [refusal(status, code)]

  await signIn(0)

  expect(waits).toEqual([1000])
})

test.each([403, 400, 429])(
  'slow down (%d) makes the polls less frequent, to the end',
  async (status) => {
    const slowDown = refusal(status, 'deviceauth_slow_down')
    issuer.device.pollReplies = [
      { status: 403 },
      slowDown,
      { status: 403 },
      slowDown,
      { status: 403 },
    ]

    await signIn(0)

    expect(waits).toEqual([1000, 6000, 6000, 11_000, 11_000])
  },
)

test('slow down, again and again, does not make a minute more than a minute', async () => {
  issuer.device.pollReplies = Array.from({ length: 14 }, () => refusal(403, 'deviceauth_slow_down'))

  await signIn(0)

  expect(Math.max(...waits)).toBe(60_000)
})

test.each([
  [403, 'deviceauth_access_denied', 'was denied'],
  [404, 'deviceauth_not_found', 'does not know the code'],
  [404, 'deviceauth_expired_token', 'has expired'],
  [400, 'expired_token', 'has expired'],
])('%d %s ends the sign-in at once, and says why', async (status, code, words) => {
  issuer.device.pollReplies = [{ status: 403 }, refusal(status, code)]

  const error = await signIn(600).catch((thrown: unknown) => thrown)

  expect(error).toMatchObject({ code: 'sign-in-failed' })
  expect(String(error)).toContain(words)
  expect(polls()).toHaveLength(2)
})

test.each<[what: string, reply: Reply, words: RegExp]>([
  ['a code of next year', refusal(403, 'deviceauth_of_next_year'), /\(deviceauth_of_next_year, s/],
  ['one that comes with 404', refusal(404, 'gone'), /\(gone, status 404\)/],
  ['a code that could be a secret', refusal(403, 'canary-4F'), /\(status 403\)/],
  [
    'a page with 403',
    { status: 403, text: '<title>canary</title>' },
    /Not the service .*status 403/,
  ],
  ['a page with 404', { status: 404, text: 'canary' }, /Not the service .*status 404/],
  ['a status of no meaning', { status: 418, json: {} }, /\(status 418\)/],
  ['a status beyond all', { status: 777, json: {} }, /\(status 777\)/],
])('%s ends the sign-in at once instead of being waited out', async (_, reply, words) => {
  issuer.device.pollReplies = [reply]

  const error = await signIn(600).catch((thrown: unknown) => thrown)

  expect(error).toMatchObject({ code: 'sign-in-failed', message: expect.stringMatching(words) })
  expect(String(error)).not.toContain('canary')
  expect(polls()).toHaveLength(1)
})

test('a service that gives no code is said to give none, within half a minute', async () => {
  issuer.device.codeReplies = Array.from({ length: 20 }, () => ({ status: 503, json: {} }))
  const began = clock

  await expect(signIn(0)).rejects.toThrow(
    'The service gave no code for the sign-in. The service last answered with status 503. Start',
  )
  expect(clock - began).toBeLessThanOrEqual(30_000)
})

test.each(['2026-11-20T17:00:00Z', '1970-01-01T00:00:00Z', 'soon', 7])(
  'an expires_at of %j ends nothing: clocks differ, and the service says when a code has expired',
  async (expires_at) => {
    const json = { device_auth_id: 'canary-device', user_code: 'ABCD-12345', interval: '1' }
    issuer.secrets.add('canary-device')
    issuer.device.codeReplies = [{ status: 200, json: { ...json, expires_at } }]

    expect((await signIn(60)).account_id).toBe('account-1')
  },
)

test('the person has the full fifteen minutes', async () => {
  expect((await signIn(14 * 60 + 50)).account_id).toBe('account-1')
})

test('after fifteen minutes it ends', async () => {
  await expect(signIn(16 * 60)).rejects.toMatchObject({
    code: 'sign-in-failed',
    message: expect.stringContaining('Nobody entered the code'),
  })
  expect(clock - 1_800_000_000_000).toBeLessThanOrEqual(15 * 60_000)
  expect(issuer.counts.exchange).toBe(0)
})

const trouble: [string, Reply][] = [
  ['a cut line', 'cut'],
  ['500', { status: 500, text: 'canary' }],
  ['502 in HTML', { status: 502, text: '<html>' }],
  ['503', { status: 503, json: {} }],
  ['429', { status: 429, json: {} }],
  ['an answer that never comes', 'hang'],
]
test.each(trouble)('%s, again and again, costs no sign-in', async (_, reply) => {
  issuer.device.codeReplies = [reply]
  issuer.device.pollReplies = Array.from({ length: 8 }, () => reply)

  expect((await signIn(60, { timeoutMs: 100 })).account_id).toBe('account-1')
  expect(issuer.counts.exchange).toBe(1)
  // It backs off, so that a service in trouble is not asked every second.
  expect(Math.max(...waits)).toBe(60_000)
})

test.each([
  ['seconds', '17', 17_000],
  ['a date', new Date(1_800_000_000_000 + 9000).toUTCString(), 9000],
  ['no time at all', 'soon', 1000],
  ['less than the interval', '0', 1000],
])('a limit with %s in Retry-After is obeyed', async (_, value, waitMs) => {
  issuer.device.pollReplies = [{ status: 429, headers: { 'retry-after': value } }]

  await signIn(0)

  expect(waits[0]).toBe(waitMs)
})

test('a limit that outlasts the code ends the sign-in at once', async () => {
  issuer.device.pollReplies = [{ status: 429, headers: { 'retry-after': '86400' } }]

  await expect(signIn(0)).rejects.toThrow('status 429')
  expect(waits).toEqual([])
})

test('a service without device codes is said to be one, with another way', async () => {
  issuer.device.enabled = false

  await expect(signIn(0)).rejects.toThrow(/not switched on.*--paste/)
  expect(said).toEqual([])
})

test.each([400, 401, 302, 200])('a poll answered with %d and no code ends it', async (status) => {
  issuer.device.pollReplies = [{ status, json: { error: { code: 'canary-denied' } } }]

  const error = await signIn(0).catch((thrown: unknown) => thrown)

  expect(error).toMatchObject({ code: 'sign-in-failed' })
  expect(String(error)).toContain(`status ${status}`)
  expect(String(error)).not.toContain('canary')
  expect(polls()).toHaveLength(1)
})

test.each([
  ['"5"', { interval: '5' }, 5000],
  ['5', { interval: 5 }, 5000],
  ['missing', {}, 5000],
  ['"0"', { interval: '0' }, 1000],
  ['"9999"', { interval: '9999' }, 60_000],
  ['nonsense', { interval: 'soon' }, 5000],
])('an interval of %s is understood', async (_, about, waitMs) => {
  const json = { device_auth_id: 'canary-device', user_code: 'ABCD-12345', ...about }
  issuer.secrets.add('canary-device')
  issuer.device.codeReplies = [{ status: 200, json }]

  await signIn(waitMs / 1000)

  expect(waits[0]).toBe(waitMs)
})

test.each(['\u001b[31mRED', 'A B', '', 'x'.repeat(1000)])(
  'a code that could not be typed or would harm a terminal is refused (%#)',
  async (user_code) => {
    const json = { device_auth_id: 'd', user_code, interval: '1' }
    issuer.device.codeReplies = [{ status: 200, json }]

    await expect(signIn(0)).rejects.toMatchObject({ code: 'sign-in-failed' })
    expect(said).toEqual([])
  },
)

test('an exchange that may have arrived is not sent twice', async () => {
  issuer.exchangeReplies = ['cut']

  await expect(signIn(0)).rejects.toMatchObject({ code: 'sign-in-failed' })
  expect(issuer.counts.exchange).toBe(1)
})

test('an exchange that never reached the service is sent again when the network is back', async () => {
  // The service goes away with its last answer and comes back later on the same port.
  const front = createServer()
  let isAway = false
  const forward = async (path: string, body: string, contentType: string) => {
    const headers = { 'content-type': contentType }
    return fetch(new URL(path, issuer.url), { method: 'POST', body, headers })
  }
  front.on('request', async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const type = request.headers['content-type'] ?? ''
    const answer = await forward(request.url ?? '', Buffer.concat(chunks).toString(), type)
    const isGrant = request.url?.endsWith('deviceauth/token') && answer.status === 200
    response.writeHead(answer.status, { connection: 'close' }).end(await answer.text())
    if (isGrant && !isAway) {
      isAway = true
      front.close()
    }
  })
  front.listen(0, '127.0.0.1')
  await once(front, 'listening')
  const { port } = front.address() as AddressInfo
  const away: number[] = []

  const signingIn = signInWithDevice({
    issuer: new URL(`http://127.0.0.1:${port}`),
    say: () => {},
    save: async () => {},
    now: () => clock,
    pause: async (ms) => {
      clock += ms
      issuer.device.approved = true
      if (!isAway) return
      away.push(ms)
      if (away.length < 3) return
      front.listen(port, '127.0.0.1')
      await once(front, 'listening')
    },
  })

  // The code is bound to the address it was given for, which here is the front's: the issuer refuses
  // it, and that it was asked at all is what this is about.
  await expect(signingIn).rejects.toThrow('status 400')
  expect(away).toEqual([1000, 2000, 4000])
  expect(issuer.counts.exchange).toBe(1)
  front.close()
})

test('Ctrl-C stops it while it waits', async () => {
  const stop = new AbortController()
  const signingIn = signIn(600, {
    signal: stop.signal,
    pause: async (_, signal) => {
      stop.abort()
      signal?.throwIfAborted()
    },
  })

  await expect(signingIn).rejects.toThrow('stopped. Nothing was changed')
})

test('Ctrl-C stops it while the service does not answer', async () => {
  const stop = new AbortController()
  issuer.device.pollReplies = ['hang']
  const signingIn = signIn(600, {
    signal: stop.signal,
    say: () => setImmediate(() => stop.abort()),
  })

  await expect(signingIn).rejects.toThrow('stopped. Nothing was changed')
})

test('nothing it says holds more than the code for the person', async () => {
  await signIn(2)

  expect(issuer.secrets.size).toBeGreaterThan(5)
  for (const secret of issuer.secrets) expect(said.join()).not.toContain(secret)
})
