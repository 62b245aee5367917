import { isUtf8 } from 'node:buffer'

/** Stands in a text for bytes that are none of UTF-8, which it has lost. */
const REPLACEMENT = '\uFFFD'

/** The text of bytes in UTF-8, a mark at its head included; undefined for others, which it could not be written back as. */
export function exactText(bytes: Buffer): string | undefined {
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined
}

/** What the model is told of a text that is not exact. */
export const notExact = (what: string) =>
  `[${what} is not UTF-8: each ${REPLACEMENT} stands for bytes that are lost here]`
