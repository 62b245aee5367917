import { isUtf8 } from 'node:buffer'

/**
 * What `body` has at the end of its `input` beyond `before`; undefined when it is anything else than `before`
 * with items added. Both are taken to the letter, in the form that `JSON.stringify` gives them: of `before` this
 * is known, and also that `input` is its last key and not empty.
 *
 * A conversation is sent anew with each request, and all of it but the newest items has been checked before.
 */
export function appendedItems(before: Buffer, body: Buffer): unknown[] | undefined {
  if (body.length === before.length) return body.equals(before) ? [] : undefined
  const begins = before.length - END.length
  const ends = body.length - END.length
  if (!body.subarray(0, begins).equals(before.subarray(0, begins))) return undefined
  if (body[begins] !== COMMA || !body.subarray(ends).equals(END)) return undefined
  const added = body.subarray(begins + 1, ends)
  // Bytes that are no text are read as something that they are not.
  if (!isUtf8(added)) return undefined
  const list = `[${added}]`
  try {
    // By itself it is a list, so it ends no list, nor does it begin another key, where it stands.
    const items: unknown[] = JSON.parse(list)
    return items.length > 0 && JSON.stringify(items) === list ? items : undefined
  } catch {
    // Whatever is wrong with it, the look at the whole body says so.
    return undefined
  }
}

const END = Buffer.from(']}')
const COMMA = 0x2c
