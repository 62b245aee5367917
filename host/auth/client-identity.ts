import { packageVersion } from '../package-root.ts'

/** The public client that ChatGPT subscriptions sign in with; it is no secret (RFC 8252, 8.5). */
export const CLIENT_ID = 'app_EMoamEEZ73f0CkXaXp7hrann'

/** Our own client name. We do not use the names of the official client. */
export const ORIGINATOR = 'codexbox'
export const USER_AGENT = `${ORIGINATOR}/${packageVersion}`

/**
 * The `client_version` of a request for the models. The service reads it as a version of the Codex CLI
 * and omits every model that requires a newer one; without it, the answer is 400. Only with `0.0.0` is
 * no model omitted. Our own version would hide all models.
 */
export const UNGATED_CLIENT_VERSION = '0.0.0'
