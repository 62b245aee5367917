import { isUtf8 } from 'node:buffer'

/**
 * The items that `body` appends to the `input` of `before`; undefined when `body` differs in any other way.
 * Compares bytes, in the form that `JSON.stringify` writes: `before` has that form, with `input` as its
 * last key and not empty.
 *
 * Each request sends the whole conversation again, and all but its newest items have been checked before.
 */
export function appendedItems(before: Buffer, body: Buffer): unknown[] | undefined {
  if (body.length === before.length) return body.equals(before) ? [] : undefined
  const begins = before.length - END.length
  const ends = body.length - END.length
  if (!body.subarray(0, begins).equals(before.subarray(0, begins))) return undefined
  if (body[begins] !== COMMA || !body.subarray(ends).equals(END)) return undefined
  const added = body.subarray(begins + 1, ends)
  // Decoding would replace bytes that are not UTF-8.
  if (!isUtf8(added)) return undefined
  const list = `[${added}]`
  try {
    // The text parses as a list by itself, so in its position it cannot end the list or begin another key.
    const items: unknown[] = JSON.parse(list)
    return items.length > 0 && JSON.stringify(items) === list ? items : undefined
  } catch {
    // The check of the complete body reports the fault.
    return undefined
  }
}

const END = Buffer.from(']}')
const COMMA = 0x2c
