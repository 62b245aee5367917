/** Shorter pieces of random text match by chance, or are of no use to a thief. */
const MIN_PIECE = 12

export interface Found {
  /** Bytes of the secrets that were found, over all places. */
  bytes: number
  /** Names of the places with a match. */
  places: string[]
}

/** Counts the bytes of `secrets` in each place, in one piece or in several. */
export function searchSecrets(
  secrets: readonly string[],
  places: Readonly<Record<string, Buffer | string>>,
): Found {
  const found: Found = { bytes: 0, places: [] }
  for (const [place, content] of Object.entries(places)) {
    const bytes = Buffer.from(content)
    const matched = secrets.map((secret) => bytesOf(secret, bytes)).reduce((a, b) => a + b, 0)
    if (matched === 0) continue
    found.bytes += matched
    found.places.push(place)
  }
  return found
}

function bytesOf(secret: string, content: Buffer): number {
  const matched = new Uint8Array(secret.length)
  for (let at = 0; at + MIN_PIECE <= secret.length; at++) {
    if (content.includes(secret.slice(at, at + MIN_PIECE))) matched.fill(1, at, at + MIN_PIECE)
  }
  return matched.reduce((sum, flag) => sum + flag, 0)
}
