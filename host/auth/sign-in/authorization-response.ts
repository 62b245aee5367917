import { createHash, timingSafeEqual } from 'node:crypto'
import { AuthorizationResponseError, expectNoState, validateAuthResponse } from 'oauth4webapi'
import { oauthClient, oauthServer } from '../oauth-server.ts'

/** The response of the authorize page (RFC 6749, 4.1.2). */
export type AuthorizationResponse =
  /** `params` are validated for the exchange. */
  | { status: 'code'; params: URLSearchParams }
  | { status: 'refused'; error: string; description: string }

/** Why a request to the callback is no response to this sign-in. */
export type NoResponse = { status: 'other-state' } | { status: 'no-code' }

/** Judges the query of the callback. Without the state of this sign-in it has no effect. */
export function readAuthorizationResponse(
  query: URLSearchParams,
  { issuer, state }: { issuer: URL; state: string },
): AuthorizationResponse | NoResponse {
  const states = query.getAll('state')
  if (states.length !== 1 || !isOurs(states[0] ?? '', state)) return { status: 'other-state' }
  const checked = new URLSearchParams(query)
  checked.set('state', state)
  // RFC 9207 tells several issuers apart. There is only one here, and the form of its `iss` is not
  // known: a check could only reject valid sign-ins.
  checked.delete('iss')
  try {
    const params = validateAuthResponse(oauthServer(issuer), oauthClient, checked, state)
    // The library checks the code only when it is exchanged.
    const codes = params.getAll('code')
    return codes.length === 1 && codes[0] ? { status: 'code', params } : { status: 'no-code' }
  } catch (error) {
    // The library's own message is not used: its cause holds all parameters.
    if (!(error instanceof AuthorizationResponseError)) return { status: 'no-code' }
    return {
      status: 'refused',
      error: printable(error.error),
      description: printable(error.error_description ?? ''),
    }
  }
}

/** Parameters for a code without a callback and its state: only the verifier protects it. */
export function codeAlone(code: string, issuer: URL): URLSearchParams {
  const query = new URLSearchParams({ code })
  return validateAuthResponse(oauthServer(issuer), oauthClient, query, expectNoState)
}

/** Safe for a terminal: no control characters, and a limited length. */
function printable(text: string): string {
  return text.replace(/\p{C}/gu, ' ').trim().slice(0, 200)
}

/**
 * The service appends this to the state when a new account comes from that page of its own; the
 * official client removes it. It has no meaning here, and no other suffix is accepted.
 */
const ONBOARDING_MARK = '.onboarding_entrypoint=life_sciences'

const isOurs = (received: string, state: string) =>
  isSameSecret(received, state) || isSameSecret(received, state + ONBOARDING_MARK)

/** Constant-time comparison. */
function isSameSecret(received: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(received), digest(expected))
}
