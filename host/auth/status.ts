import { join } from 'node:path'
import { CodexboxError } from '../../shared/errors.ts'
import { maskedEmail } from './masked-email.ts'
import { notSignedIn } from './not-signed-in.ts'
import { deadError } from './renewal/refresh.ts'
import { fileTokenStore } from './token-store.ts'
import type { DeadReason } from './tokens.ts'

/** The state of the sign-in, without a request to the service. */
export interface SignInStatus {
  /** Whether a run could start, renewing the access token if that is due. */
  signedIn: boolean
  /** Why a run could not start, and what to do. */
  message?: string
  /** Why the service ended the sign-in. */
  dead?: DeadReason
  /** The address of the account, masked. */
  account?: string
  plan?: string
  /** When the access token ends; it is renewed before. */
  expiresAt?: string
  renewedAt?: string
  /** The file of another client that shares this sign-in. */
  importedFrom?: string
  /** The file of the sign-in. */
  file: string
}

/** Read-only: no lock, no renewal, no write, not even a new folder or a repaired mode. */
export function signInStatus(dataDir: string): SignInStatus {
  const file = join(dataDir, 'codex-tokens.json')
  try {
    const store = fileTokenStore(dataDir)
    const tokens = store.peek()
    if (!tokens) return { signedIn: false, message: notSignedIn(store.setAside()).message, file }
    const { dead, email, plan, expires_at, last_refresh, imported_from } = tokens
    return {
      signedIn: dead === undefined,
      ...(dead ? { dead, message: deadError(dead, tokens).message } : {}),
      ...(email ? { account: maskedEmail(email) } : {}),
      ...(plan ? { plan } : {}),
      expiresAt: new Date(expires_at).toISOString(),
      renewedAt: new Date(last_refresh).toISOString(),
      ...(imported_from ? { importedFrom: imported_from } : {}),
      file,
    }
  } catch (error) {
    if (!(error instanceof CodexboxError)) throw error
    return { signedIn: false, message: error.message, file }
  }
}
