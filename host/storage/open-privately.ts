import { closeSync, constants, fchmodSync, fstatSync, openSync } from 'node:fs'

/**
 * Opens `file` for appending, and makes it if it is missing: only its owner may read it, and a symbolic
 * link is refused.
 * @throws Error when it cannot be opened, or is not a regular file of this user
 */
export function openPrivately(file: string): number {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants
  const descriptor = openSync(file, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
  try {
    const stats = fstatSync(descriptor)
    if (!stats.isFile()) throw new Error(`${file} is not a regular file`)
    if (process.getuid && stats.uid !== process.getuid()) {
      throw new Error(`${file} belongs to another user`)
    }
    if (process.getuid) fchmodSync(descriptor, 0o600)
    return descriptor
  } catch (error) {
    closeSync(descriptor)
    throw error
  }
}
