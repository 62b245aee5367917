import { z } from 'zod'

const epochMs = z.number().int().nonnegative().max(8.64e15)
const token = z.string().min(1)

/** Why a refresh token is no longer usable. */
export const DeadReason = z.enum(['expired', 'reused', 'lost', 'revoked', 'refused'])
export type DeadReason = z.infer<typeof DeadReason>

/** The sign-in as stored on disk. The names are those of the token endpoint (RFC 6749, 5.1). */
export const Tokens = z.object({
  version: z.literal(1),
  access_token: token,
  refresh_token: token,
  id_token: token.optional(),
  account_id: z.string().min(1).optional(),
  /** When the access token expires. */
  expires_at: epochMs,
  last_refresh: epochMs,
  email: z.string().optional(),
  plan: z.string().optional(),
  /** The file of another client from which it was imported; both share the sign-in. */
  imported_from: z.string().optional(),
  /** Set when the service refused this refresh token for good; a new sign-in has no such field. */
  dead: DeadReason.optional(),
})
export type Tokens = z.infer<typeof Tokens>

/** Renew early, so that a token does not expire between our check and the service's, or in a request. */
const RENEW_EARLY_MS = 5 * 60_000

export const isFresh = (tokens: Tokens, now: number) => tokens.expires_at - RENEW_EARLY_MS > now

/** With a wrong clock even a new token looks expired, so a new token is used: the service decides. */
export const isNew = (tokens: Tokens, now: number) => isWithin(60_000, tokens.last_refresh, now)

/** Whether `since` is less than `ms` ago. False for a time in the future: the clock was changed. */
export const isWithin = (ms: number, since: number, now: number) => since <= now && now < since + ms

/** The fields of a token answer. */
export interface NewTokens {
  access_token: string
  refresh_token: string
  id_token?: string | undefined
  /** Seconds. */
  expires_in?: number | undefined
}

/** The tokens to store, with the account and the expiry. */
export function tokensFrom(answer: NewTokens, now: number): Tokens {
  const { access_token, refresh_token, id_token } = answer
  return {
    version: 1,
    access_token,
    refresh_token,
    ...(id_token ? { id_token, ...identityOf(id_token) } : {}),
    expires_at: expiryOf(access_token) ?? now + lifetimeMs(answer.expires_in),
    last_refresh: now,
  }
}

/** The account of an id token. A missing claim is left out, never guessed from other claims. */
export function identityOf(idToken: string): Pick<Tokens, 'account_id' | 'email' | 'plan'> {
  const claims = claimsOf(idToken)
  const auth = objectIn(claims, 'https://api.openai.com/auth')
  const profile = objectIn(claims, 'https://api.openai.com/profile')
  const account_id = stringIn(auth, 'chatgpt_account_id')
  const plan = stringIn(auth, 'chatgpt_plan_type')
  const email = stringIn(claims, 'email') ?? stringIn(profile, 'email')
  return {
    ...(account_id ? { account_id } : {}),
    ...(plan ? { plan } : {}),
    ...(email ? { email } : {}),
  }
}

/** The `exp` claim of an access token (RFC 7519, 4.1.4), in epoch ms. */
export function expiryOf(accessToken: string): number | undefined {
  const exp = claimsOf(accessToken).get('exp')
  const ms = typeof exp === 'number' ? Math.trunc(exp * 1000) : undefined
  return epochMs.safeParse(ms).data
}

/**
 * For a token that is no JWT and came without a lifetime: the official client renews such tokens after
 * eight days. When one expires sooner, the service refuses it, and it is renewed then.
 */
const OPAQUE_LIFETIME_MS = 8 * 24 * 60 * 60_000

function lifetimeMs(expiresIn: number | undefined): number {
  const ms = (expiresIn ?? 0) * 1000
  return ms > 0 && ms < 10 * 365 * 24 * 60 * 60_000 ? Math.trunc(ms) : OPAQUE_LIFETIME_MS
}

type Claims = ReadonlyMap<string, unknown>
const NO_CLAIMS: Claims = new Map()

/**
 * The claims of a JWT, unverified: it came from the issuer itself over TLS, and no permission depends
 * on it. Any other text is an opaque token, without claims. A map, because a claim may be called
 * `__proto__`.
 */
function claimsOf(jwt: string): Claims {
  const parts = jwt.split('.')
  const payload = parts[1]
  if (payload === undefined || parts.length !== 3) return NO_CLAIMS
  try {
    return claimsIn(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')))
  } catch {
    // Not a JWT. The parser's message is dropped: it quotes the token.
    return NO_CLAIMS
  }
}

function objectIn(claims: Claims, name: string): Claims {
  return claimsIn(claims.get(name))
}

function claimsIn(value: unknown): Claims {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isObject ? new Map(Object.entries(value)) : NO_CLAIMS
}

/** A claim that becomes a request header or a line on a terminal: printable and of sane length. */
function stringIn(claims: Claims, name: string): string | undefined {
  const value = claims.get(name)
  return typeof value === 'string' && /^[\x20-\x7e]{1,256}$/.test(value) ? value : undefined
}
