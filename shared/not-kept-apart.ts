import { CodexboxError } from './errors.ts'

/**
 * Where tools and agent would be one user, `uid`, and nothing keeps them apart. Said by the agent, and by the
 * host where not even the agent could be started for it.
 */
export function notKeptApart(uid: number, why: string): CodexboxError {
  return new CodexboxError(
    'image-unusable',
    `The tools cannot be kept apart from the agent: both would be user ${uid}, and ${why}. Use an image ` +
      'with setpriv (util-linux), or a workspace that belongs to an ordinary user.',
  )
}
