import { packageVersion } from '../package-root.ts'

/** The public client that ChatGPT subscriptions sign in with; it is no secret (RFC 8252, 8.5). */
export const CLIENT_ID = 'app_EMoamEEZ73f0CkXaXp7hrann'

/** Who we say we are. The official client has names of its own; we do not borrow them. */
export const ORIGINATOR = 'codexbox'
export const USER_AGENT = `${ORIGINATOR}/${packageVersion}`

/**
 * The `client_version` of a question for the models. The service reads it as a version of the Codex
 * CLI and leaves out every model that asks for a newer one; without it, it answers 400. `0.0.0` is the
 * one value for which nothing is left out. A version of ours would hide all models.
 */
export const UNGATED_CLIENT_VERSION = '0.0.0'
