import { CodexboxError, messageOf } from '../../shared/errors.ts'
import { CLIENT_ID, ORIGINATOR } from './client-identity.ts'
import { notSignedIn } from './not-signed-in.ts'
import { postToken } from './token-endpoint.ts'
import type { TokenStore } from './token-store.ts'
import type { Tokens } from './tokens.ts'

export type SignOut =
  | { status: 'nobody' }
  | { status: 'revoked' }
  /** Removed from this machine only. `why` is safe to show. */
  | { status: 'not-revoked'; why: string }

/**
 * Removes the sign-in and revokes it at the service (RFC 7009, as JSON). Removal comes first, so that
 * the file is gone even if the revocation fails.
 * @throws CodexboxError when the file could not be removed.
 */
export async function signOut(options: {
  store: TokenStore
  issuer: URL
  timeoutMs?: number | undefined
}): Promise<SignOut> {
  const { store, issuer, timeoutMs } = options
  const stored = await lastTokens(store)
  if (stored === 'nobody') return { status: 'nobody' }
  await store.remove()
  if (stored === 'damaged') return { status: 'not-revoked', why: 'the file was damaged' }
  // The service has already ended the sign-in.
  if (stored.dead) return { status: 'revoked' }
  try {
    const { status } = await postRevoke(issuer, stored.refresh_token, timeoutMs)
    if (status === 200) return { status: 'revoked' }
    return { status: 'not-revoked', why: `the answer was status ${status}` }
  } catch (error) {
    return { status: 'not-revoked', why: messageOf(error) }
  }
}

/** Waits for a running renewal, so that the new tokens are revoked, not the old. */
async function lastTokens(store: TokenStore): Promise<Tokens | 'nobody' | 'damaged'> {
  try {
    if (!store.peek()) return 'nobody'
    return await store.update(async (current) => {
      if (!current) throw notSignedIn()
      return current
    })
  } catch (error) {
    if (error instanceof CodexboxError && error.code === 'not-signed-in') return 'nobody'
    if (error instanceof CodexboxError && error.code === 'tokens-invalid') return 'damaged'
    throw error
  }
}

function postRevoke(issuer: URL, token: string, timeoutMs: number | undefined) {
  return postToken({
    issuer,
    path: '/oauth/revoke',
    contentType: 'application/json',
    headers: { originator: ORIGINATOR },
    body: JSON.stringify({ token, token_type_hint: 'refresh_token', client_id: CLIENT_ID }),
    code: 'sign-in-failed',
    timeoutMs,
  })
}
