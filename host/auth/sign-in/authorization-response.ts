import { createHash, timingSafeEqual } from 'node:crypto'
import { AuthorizationResponseError, expectNoState, validateAuthResponse } from 'oauth4webapi'
import { oauthClient, oauthServer } from '../oauth-server.ts'

/** What came back from the authorize page (RFC 6749, 4.1.2). */
export type AuthorizationResponse =
  /** `params` are validated; only such are exchanged. */
  | { status: 'code'; params: URLSearchParams }
  | { status: 'refused'; error: string; description: string }

/** Nothing to act upon, and why. */
export type NoResponse = { status: 'other-state' } | { status: 'no-code' }

/** Judges what the browser brought back. Without the state of this sign-in it has no effect. */
export function readAuthorizationResponse(
  query: URLSearchParams,
  { issuer, state }: { issuer: URL; state: string },
): AuthorizationResponse | NoResponse {
  const given = query.getAll('state')
  if (given.length !== 1 || !isOurs(given[0] ?? '', state)) return { status: 'other-state' }
  const known = new URLSearchParams(query)
  known.set('state', state)
  // RFC 9207 tells several issuers apart. There is only this one, and how it would write its own
  // name is not known: a check could only turn good sign-ins away.
  known.delete('iss')
  try {
    const params = validateAuthResponse(oauthServer(issuer), oauthClient, known, state)
    // The library looks at the code only when it is spent.
    const codes = params.getAll('code')
    return codes.length === 1 && codes[0] ? { status: 'code', params } : { status: 'no-code' }
  } catch (error) {
    // Its own words are not used: they come with all parameters as their cause.
    if (!(error instanceof AuthorizationResponseError)) return { status: 'no-code' }
    return {
      status: 'refused',
      error: printable(error.error),
      description: printable(error.error_description ?? ''),
    }
  }
}

/** A code that came by another way than the browser: nothing but the verifier guards it. */
export function codeAlone(code: string, issuer: URL): URLSearchParams {
  const query = new URLSearchParams({ code })
  return validateAuthResponse(oauthServer(issuer), oauthClient, query, expectNoState)
}

/** Goes to a terminal too: no control characters, and no novel. */
function printable(text: string): string {
  return text.replace(/\p{C}/gu, ' ').trim().slice(0, 200)
}

/**
 * The service appends this to the state when a new account comes from that one of its pages; the
 * official client takes it off. It says nothing to us, and nothing else may follow a state.
 */
const ONBOARDING_MARK = '.onboarding_entrypoint=life_sciences'

const isOurs = (given: string, state: string) =>
  isSameSecret(given, state) || isSameSecret(given, state + ONBOARDING_MARK)

/** In a time that does not depend on where they differ. */
function isSameSecret(given: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(given), digest(expected))
}
