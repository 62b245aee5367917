import type { Tokens } from '../../host/auth/tokens.ts'

/** A sign-in that is good for an hour; a test names only what it is about. */
export function someTokens(about: Partial<Tokens> = {}): Tokens {
  return {
    version: 1,
    access_token: 'canary-access-token',
    refresh_token: 'canary-refresh-token',
    account_id: 'account-1',
    expires_at: Date.now() + 60 * 60_000,
    last_refresh: Date.now() - 60 * 60_000,
    ...about,
  }
}
