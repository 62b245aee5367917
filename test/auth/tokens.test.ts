import { expect, test } from 'vitest'
import { challengeOf, createPkce } from '../../host/auth/sign-in/pkce.ts'
import { expiryOf, identityOf, isFresh, tokensFrom } from '../../host/auth/tokens.ts'
import { unsignedJwt } from '../fakes/issuer.ts'
import { someTokens } from '../fakes/some-tokens.ts'

const NOW = 1_800_000_000_000

test('the challenge is the one of RFC 7636, appendix B', () => {
  const challenge = challengeOf('dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk')

  expect(challenge).toBe('E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM')
})

test('every sign-in has a verifier of its own, of 86 unreserved characters', () => {
  const { verifier, challenge } = createPkce()

  expect(verifier).toMatch(/^[A-Za-z0-9_-]{86}$/)
  expect(challenge).toBe(challengeOf(verifier))
  expect(createPkce().verifier).not.toBe(verifier)
})

test.each([
  [5 * 60_000 + 1, true],
  [5 * 60_000, false],
  [0, false],
  [-1, false],
])('a token that ends in %d ms is fresh: %s', (left, fresh) => {
  expect(isFresh(someTokens({ expires_at: NOW + left }), NOW)).toBe(fresh)
})

test('the account, plan and address come from the id token', () => {
  const jwt = unsignedJwt({
    'https://api.openai.com/auth': { chatgpt_account_id: 'a-1', chatgpt_plan_type: 'pro' },
    'https://api.openai.com/profile': { email: 'ada@example.com' },
  })

  expect(identityOf(jwt)).toEqual({ account_id: 'a-1', plan: 'pro', email: 'ada@example.com' })
})

const claim = (value: unknown) => unsignedJwt({ 'https://api.openai.com/auth': value })
const withPayload = (text: string) => `e30.${Buffer.from(text).toString('base64url')}.x`

test.each([
  ['two parts', 'e30.e30'],
  ['four parts', 'e30.e30.e30.e30'],
  ['not base64', 'e30.*$*.x'],
  ['not JSON', withPayload('{')],
  ['null', withPayload('null')],
  ['an array', withPayload('[1]')],
  ['huge', withPayload(`{"a":"${'x'.repeat(1_000_000)}"}`)],
  ['no account', claim({})],
  ['an account that is a number', claim({ chatgpt_account_id: 1 })],
  ['an account that is no header value', claim({ chatgpt_account_id: 'a\r\nx: y' })],
  ['auth that is null', claim(null)],
  ['only a subject', unsignedJwt({ sub: 'somebody' })],
  [
    '__proto__ claims',
    withPayload(
      '{"__proto__":{"email":"x"},"https://api.openai.com/auth":{"__proto__":{"chatgpt_account_id":"x"}}}',
    ),
  ],
])('an id token with %s names nobody', (_, jwt) => {
  expect(identityOf(jwt)).toEqual({})
  expect(Object.keys(Object.prototype)).toEqual([])
})

test('an access token ends when it says so', () => {
  const access_token = unsignedJwt({ exp: 1_900_000_000 })

  const tokens = tokensFrom({ access_token, refresh_token: 'r', expires_in: 60 }, NOW)

  expect(tokens.expires_at).toBe(1_900_000_000_000)
})

test.each(['soon', -1, 1e308, null, Number.NaN])('an exp of %s is no time', (exp) => {
  expect(expiryOf(unsignedJwt({ exp }))).toBeUndefined()
})

test.each([
  [3600, 3_600_000],
  [undefined, 8 * 24 * 3_600_000],
  [-5, 8 * 24 * 3_600_000],
  [1e308, 8 * 24 * 3_600_000],
])('an opaque access token with expires_in %s lives %d ms', (expires_in, life) => {
  const tokens = tokensFrom({ access_token: 'opaque', refresh_token: 'r', expires_in }, NOW)

  expect(tokens.expires_at).toBe(NOW + life)
})
