import { packageVersion } from '../package-root.ts'

/** The public client that ChatGPT subscriptions sign in with; it is no secret (RFC 8252, 8.5). */
export const CLIENT_ID = 'app_EMoamEEZ73f0CkXaXp7hrann'

/** Who we say we are. The official client has names of its own; we do not borrow them. */
export const ORIGINATOR = 'codexbox'
export const USER_AGENT = `${ORIGINATOR}/${packageVersion}`
