import { isUtf8 } from 'node:buffer'

/** Replaces bytes that are not UTF-8, which the text has lost. */
const REPLACEMENT = '\uFFFD'

/** The text of bytes in UTF-8, with its byte order mark; undefined for other bytes, which a write back would change. */
export function exactText(bytes: Buffer): string | undefined {
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined
}

/** The note to the model about a text that is not exact. */
export const notExact = (what: string) =>
  `[${what} is not UTF-8: each ${REPLACEMENT} stands for bytes that are lost here]`
