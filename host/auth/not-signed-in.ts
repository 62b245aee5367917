import { CodexboxError } from '../../shared/errors.ts'
import { setupCommand } from '../package-root.ts'

/** The error without a sign-in. `aside`: a damaged file that may be the cause. */
export function notSignedIn(aside?: string): CodexboxError {
  const why = aside ? ` An earlier sign-in was damaged and is now ${aside}.` : ''
  return new CodexboxError(
    'not-signed-in',
    `Not signed in to ChatGPT.${why} Sign in: \`${setupCommand('codex-auth')}\`.`,
  )
}
