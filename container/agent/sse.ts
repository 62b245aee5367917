const LF = 0x0a
const CR = 0x0d

/** An event is larger than any that the service sends. */
export class EventTooLargeError extends Error {
  override readonly name = 'EventTooLargeError'
}

/**
 * The `data` of each event of a server-sent event stream (WHATWG HTML, "Server-sent events"), several
 * data lines joined by newlines. Lines end in LF, CRLF or CR; comments and other fields are skipped;
 * an event that the stream ends inside of is not delivered. Works on bytes, so a chunk may end
 * anywhere, inside a character too.
 * @throws EventTooLargeError
 */
export async function* sseEvents(
  chunks: AsyncIterable<Buffer>,
  maxEventBytes = 64 * 1024 * 1024,
): AsyncGenerator<string> {
  let unfinished: Buffer[] = []
  let data: string[] = []
  let eventBytes = 0
  let isFirstLine = true
  let afterCr = false

  for await (const chunk of chunks) {
    let start = afterCr && chunk[0] === LF ? 1 : 0
    if (chunk.length > 0) afterCr = false
    // Each is searched again only once it is passed; otherwise many lines that all end in the other
    // would cost a search of the whole chunk each.
    let nextCr = chunk.indexOf(CR, start)
    let nextLf = chunk.indexOf(LF, start)
    while (start < chunk.length) {
      const end = nextCr >= 0 && (nextLf < 0 || nextCr < nextLf) ? nextCr : nextLf
      const piece = chunk.subarray(start, end < 0 ? chunk.length : end)
      eventBytes += piece.length
      if (eventBytes > maxEventBytes) {
        throw new EventTooLargeError(`an event of the stream is longer than ${maxEventBytes} bytes`)
      }
      if (end < 0) {
        unfinished.push(piece)
        break
      }
      start = end + 1
      if (end === nextCr) {
        if (start === chunk.length) afterCr = true
        else if (chunk[start] === LF) start++
        nextCr = chunk.indexOf(CR, start)
      }
      if (nextLf >= 0 && nextLf < start) nextLf = chunk.indexOf(LF, start)

      let line = decode(unfinished, piece)
      unfinished = []
      if (isFirstLine && line.startsWith('\uFEFF')) line = line.slice(1)
      isFirstLine = false
      if (line === '') {
        if (data.length > 0) yield data.join('\n')
        data = []
        eventBytes = 0
      } else if (line.startsWith('data:')) {
        data.push(line.slice(line[5] === ' ' ? 6 : 5))
      } else if (line === 'data') {
        data.push('')
      }
    }
  }
}

function decode(unfinished: Buffer[], piece: Buffer): string {
  return unfinished.length === 0
    ? piece.toString('utf8')
    : Buffer.concat([...unfinished, piece]).toString('utf8')
}
