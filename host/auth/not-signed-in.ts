import { CodexboxError } from '../../shared/errors.ts'
import { setupCommand } from '../package-root.ts'

/** Nobody has signed in yet. */
export function notSignedIn(): CodexboxError {
  return new CodexboxError(
    'not-signed-in',
    `Not signed in to ChatGPT. Sign in: \`${setupCommand('codex-auth')}\`.`,
  )
}
