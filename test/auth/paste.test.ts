import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  type BrowserSignInOptions,
  signInWithBrowser,
} from '../../host/auth/sign-in/browser-sign-in.ts'
import { readPasted } from '../../host/auth/sign-in/pasted-address.ts'
import { type Ask, promptForLines } from '../../host/auth/sign-in/prompt.ts'
import { actAsBrowser } from '../fakes/browser.ts'
import { type FakeIssuer, startFakeIssuer } from '../fakes/issuer.ts'

const STATE = 's'.repeat(43)
const CODE = 'ac_canary-code-1234'
const ADDRESS = `http://127.0.0.1:1455/auth/callback?code=${CODE}&scope=openid+email&state=${STATE}`
const signIn = { issuer: new URL('https://auth.openai.com'), state: STATE }

test.each([
  ['the full address', ADDRESS],
  ['the address with a newline', `${ADDRESS}\r\n`],
  ['the address in spaces', `  ${ADDRESS}\t `],
  ['the address in a bracketed paste', `\u001b[200~${ADDRESS}\u001b[201~`],
  ['the address in colour', `\u001b[4;34m${ADDRESS}\u001b[0m`],
  ['the address in quotes', `"${ADDRESS}"`],
  ['the address as a mail writes it', `<${ADDRESS}>`],
  ['the address with a fragment', `${ADDRESS}#_`],
  ['the address with the name', ADDRESS.replace('127.0.0.1', 'localhost')],
  ['the address with an issuer', `${ADDRESS}&iss=https%3A%2F%2Fauth.example`],
  ['the address with the mark of an onboarding', `${ADDRESS}.onboarding_entrypoint=life_sciences`],
  ['its query', ADDRESS.slice(ADDRESS.indexOf('?'))],
  ['its query without the mark', ADDRESS.slice(ADDRESS.indexOf('?') + 1)],
  ['only the code', CODE],
  ['only the code, with a newline', `\n${CODE}\n`],
  ['only the code, with NULs and a BOM', `\ufeff${CODE}\u0000`],
])('%s is taken', (_, text) => {
  const pasted = readPasted(text, signIn)

  expect(pasted).toMatchObject({ status: 'code' })
  expect(pasted.status === 'code' && pasted.params.get('code')).toBe(CODE)
})

test.each([
  ['a wrong state', ADDRESS.replace(STATE, 'x'.repeat(43)), /another sign-in/],
  ['no state', `http://127.0.0.1:1455/auth/callback?code=${CODE}`, /another sign-in/],
  ['two states', `${ADDRESS}&state=${STATE}`, /another sign-in/],
  ['a state that goes on', `${ADDRESS}.onboarding_entrypoint=else`, /another sign-in/],
  ['half an address', ADDRESS.slice(0, -5), /another sign-in/],
  ['a newline inside', `${ADDRESS.slice(0, 60)}\n${ADDRESS.slice(60)}`, /one piece/],
  ['two words', 'sign in', /one piece/],
  ['no code', `http://127.0.0.1:1455/auth/callback?state=${STATE}`, /no code/],
  ['two codes', `${ADDRESS}&code=other-code`, /no code/],
  ['tokens of the implicit flow', `${ADDRESS}&id_token=x`, /no code/],
  [
    'the address to sign in at',
    `https://a.example/?response_type=code&state=${STATE}`,
    /sign in at/,
  ],
  ['an address without a query', 'http://127.0.0.1:1455/auth/callback', /neither/],
  ['a word', 'yes', /neither/],
  ['a shell command', '$(reboot)-aaaaaaaa', /neither/],
])('an address with %s is not taken', (_, text, why) => {
  expect(readPasted(text, signIn)).toEqual({
    status: 'unusable',
    why: expect.stringMatching(why),
  })
})

test('what cannot be used is never repeated on the screen', () => {
  const pasted = readPasted(`${ADDRESS}x`, signIn)

  expect(JSON.stringify(pasted)).not.toContain(CODE)
})

test('a refusal is taken for what it is, with the right state only', () => {
  const refused = `http://127.0.0.1:1455/auth/callback?error=access_denied&state=${STATE}`

  expect(readPasted(refused, signIn)).toMatchObject({ status: 'refused', error: 'access_denied' })
  expect(readPasted(refused.slice(0, -1), signIn)).toMatchObject({ status: 'unusable' })
})

let issuer: FakeIssuer
let said: string[]

beforeEach(async () => {
  issuer = await startFakeIssuer()
  said = []
})

afterEach(() => issuer.close())

/** A person who pastes what `paste` makes of the address the browser would end on. */
function begin(paste: (address: URL) => string[], about: Partial<BrowserSignInOptions> = {}) {
  const questions: string[] = []
  const ask: Ask = async function* (question) {
    questions.push(question)
    const url = said
      .join('\n')
      .split('\n')
      .findLast((line) => line.startsWith('http'))
    const answer = await fetch(url ?? '', { redirect: 'manual' })
    yield* paste(new URL(answer.headers.get('location') ?? ''))
  }
  const result = signInWithBrowser({
    issuer: issuer.url,
    say: (line) => said.push(line),
    ask,
    save: async () => {},
    ports: [0],
    ...about,
  })
  result.catch(() => {})
  return { result, questions }
}

test('a person signs in by the address that the browser ended on', async () => {
  const { result } = begin((address) => [address.href])

  expect((await result).account_id).toBe('account-1')
  const form = new URLSearchParams(issuer.tokenRequests[0]?.body)
  expect(form.get('redirect_uri')).toBe('http://127.0.0.1:1455/auth/callback')
})

test('a person signs in by the code alone', async () => {
  const { result } = begin((address) => ['', address.searchParams.get('code') ?? ''])

  expect((await result).account_id).toBe('account-1')
})

test('a paste that cannot be used is said, and the wait goes on', async () => {
  const { result } = begin((address) => [
    'hello',
    address.href.replace(/state=./, 'state='),
    address.href,
  ])

  expect((await result).account_id).toBe('account-1')
  expect(said.slice(-2)).toEqual([
    expect.stringContaining('neither an address'),
    expect.stringContaining('another sign-in'),
  ])
  expect(issuer.counts.exchange).toBe(1)
})

test('a paste wins over a browser that never comes, and the port is closed', async () => {
  const { result, questions } = begin((address) => [address.href], { openUrl: async () => {} })

  await result

  const form = new URLSearchParams(issuer.tokenRequests[0]?.body)
  await expect(fetch(form.get('redirect_uri') ?? '')).rejects.toThrow()
  expect(questions[0]).toContain('another machine')
})

test('the browser wins over a person who types nothing, who is not asked any longer', async () => {
  let isAskedStill = true
  const ask: Ask = async function* (_, signal) {
    if (!signal.aborted) await once(signal, 'abort')
    isAskedStill = false
    yield* []
  }

  const tokens = await signInWithBrowser({
    issuer: issuer.url,
    say: () => {},
    ask,
    openUrl: actAsBrowser,
    save: async () => {},
    ports: [0],
  })

  expect(tokens.account_id).toBe('account-1')
  expect(isAskedStill).toBe(false)
})

test('when both ports are taken, that is said, and a paste still signs in', async () => {
  const holders = await Promise.all([0, 0].map(listening))
  const ports = holders.map((holder) => (holder.address() as AddressInfo).port)
  let opened = 0
  const openUrl = async () => {
    opened++
  }

  const { result } = begin((address) => [address.href], { ports, openUrl })

  expect((await result).account_id).toBe('account-1')
  expect(said[0]).toContain(`port ${ports[0]} or ${ports[1]}`)
  expect(opened).toBe(0)
  expect(holders.map((holder) => holder.listening)).toEqual([true, true])
  for (const holder of holders) holder.close()
})

test('a browser that cannot be opened does not keep a paste from signing in', async () => {
  const openUrl = () => Promise.reject(new Error('no browser'))
  const { result } = begin((address) => [address.href], { openUrl })

  expect((await result).account_id).toBe('account-1')
})

test('when nothing is pasted and nothing else can come, the sign-in ends', async () => {
  const { result } = begin(() => [])

  await expect(result).rejects.toThrow('Nothing was pasted')
})

test('a person who closes the input can still come back by the browser', async () => {
  const { result } = begin(() => [], {
    openUrl: async (url) => void actAsBrowser(url),
  })

  expect((await result).account_id).toBe('account-1')
})

test('nobody pastes for ever', async () => {
  const ask: Ask = async function* (_, signal) {
    if (!signal.aborted) await once(signal, 'abort')
    yield* []
  }
  const { result } = begin(() => [], { ask, lifetimeMs: 50 })

  await expect(result).rejects.toThrow('Nobody signed in within')
})

test('lines are read from a program as from a person, and no more once it is over', async () => {
  const input = Object.assign(new PassThrough(), {
    isTTY: false,
  }) as unknown as typeof process.stdin
  const output = Object.assign(new PassThrough(), {
    isTTY: false,
  }) as unknown as typeof process.stderr
  const over = new AbortController()
  const lines = promptForLines('Paste: ', over.signal, { input, output })
  input.write('one\ntwo\n')

  expect([await lines.next(), await lines.next()].map(({ value }) => value)).toEqual(['one', 'two'])
  const third = lines.next()
  over.abort()

  expect((await third).done).toBe(true)
  expect(String(output.read())).toContain('Paste: ')
})

async function listening(port: number) {
  const server = createServer()
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return server
}
