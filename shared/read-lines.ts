const NEWLINE = 0x0a

/** A line grew past its limit before it ended. */
export class LineTooLongError extends Error {
  override readonly name = 'LineTooLongError'
}

/**
 * The lines of a byte stream, decoded as UTF-8, without their newline. A last line without a newline
 * is incomplete, and is left out. (`node:readline` would also split at U+2028, which JSON text may
 * hold unescaped.)
 * @throws LineTooLongError past `maxBytes`, so that no writer can fill our memory.
 */
export async function* readLines(
  chunks: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<string> {
  let unfinished: Buffer[] = []
  let unfinishedBytes = 0
  for await (const bytes of chunks) {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const last = chunk.subarray(start, end)
      start = end + 1
      if (unfinishedBytes + last.length > maxBytes) throw tooLong(maxBytes)
      yield unfinished.length === 0
        ? last.toString('utf8')
        : Buffer.concat([...unfinished, last]).toString('utf8')
      unfinished = []
      unfinishedBytes = 0
    }
    if (start < chunk.length) {
      unfinished.push(chunk.subarray(start))
      unfinishedBytes += chunk.length - start
      if (unfinishedBytes > maxBytes) throw tooLong(maxBytes)
    }
  }
}

function tooLong(maxBytes: number): LineTooLongError {
  return new LineTooLongError(`a line is longer than ${maxBytes} bytes`)
}
