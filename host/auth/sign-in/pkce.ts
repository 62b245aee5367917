import { createHash, randomBytes } from 'node:crypto'

/** A fresh secret for one sign-in, and its public challenge (RFC 7636). */
export function createPkce(): { verifier: string; challenge: string } {
  const verifier = randomBytes(64).toString('base64url')
  return { verifier, challenge: challengeOf(verifier) }
}

/** Method S256 (RFC 7636, 4.2). */
export function challengeOf(verifier: string): string {
  return createHash('sha256').update(verifier).digest('base64url')
}
