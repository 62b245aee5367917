/**
 * The credentials of a run. In `sealed` mode the token is a capability that only the host's gateway
 * accepts; in `direct` mode it is the real access token.
 */
export type Secrets = {
  CODEX_ACCESS_TOKEN: string
  /** Absent where the service has no accounts (an API key). */
  CODEX_ACCOUNT_ID?: string | undefined
}

/** The request headers with `secrets`. A missing account id means no header, never a guess. */
export function authorizationHeaders(secrets: Secrets): Record<string, string> {
  return {
    authorization: `Bearer ${secrets.CODEX_ACCESS_TOKEN}`,
    ...(secrets.CODEX_ACCOUNT_ID ? { 'chatgpt-account-id': secrets.CODEX_ACCOUNT_ID } : {}),
  }
}
