import { CodexboxError } from './errors.ts'

/**
 * The error when tools and agent would be the same user `uid` without isolation. The agent throws it, and so does
 * the host where the agent could not even be started for that reason.
 */
export function notKeptApart(uid: number, why: string): CodexboxError {
  return new CodexboxError(
    'image-unusable',
    `The tools cannot be kept apart from the agent: both would be user ${uid}, and ${why}. Use an image ` +
      'with setpriv (util-linux), or a workspace that belongs to an ordinary user.',
  )
}
