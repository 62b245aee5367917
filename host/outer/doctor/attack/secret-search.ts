/** Shorter pieces of random text are found by chance, or of no use to anybody. */
const PIECE = 12

export interface Found {
  /** Of the secret, in all that was searched. */
  bytes: number
  /** Where. */
  places: string[]
}

/** How much of `secrets` is in what came out, by place; in one piece or in several. */
export function searchSecrets(
  secrets: readonly string[],
  places: Readonly<Record<string, Buffer | string>>,
): Found {
  const found: Found = { bytes: 0, places: [] }
  for (const [place, content] of Object.entries(places)) {
    const bytes = Buffer.from(content)
    const most = secrets.map((secret) => bytesOf(secret, bytes)).reduce((a, b) => a + b, 0)
    if (most === 0) continue
    found.bytes += most
    found.places.push(place)
  }
  return found
}

function bytesOf(secret: string, content: Buffer): number {
  const isFound = new Uint8Array(secret.length)
  for (let at = 0; at + PIECE <= secret.length; at++) {
    if (content.includes(secret.slice(at, at + PIECE))) isFound.fill(1, at, at + PIECE)
  }
  return isFound.reduce((sum, one) => sum + one, 0)
}
