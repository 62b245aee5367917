import type { Readable } from 'node:stream'
import { CodexboxError, messageOf } from '../../shared/errors.ts'
import { RunEvent } from '../../shared/protocol.ts'
import { LineTooLongError, readLines } from '../../shared/read-lines.ts'
import { quote } from '../../shared/visible-text.ts'

/** The longest item that the service sends; the output of tools is clipped far below. */
const MAX_LINE_BYTES = 64 * 1024 * 1024

/**
 * The validated events of an agent: complete lines of JSON in the protocol's schema, numbered without a
 * gap. The output of a container is untrusted, so the first violation ends the stream.
 * @throws CodexboxError `protocol-violation`
 */
export async function* readEvents(stdout: Readable): AsyncGenerator<RunEvent> {
  let seq = 0
  try {
    for await (const line of readLines(stdout, MAX_LINE_BYTES)) {
      const event = RunEvent.parse(JSON.parse(line))
      if (event.seq !== seq + 1) throw new Error(`event ${event.seq} came where ${seq + 1} was due`)
      seq = event.seq
      yield event
    }
  } catch (error) {
    const what =
      error instanceof LineTooLongError
        ? error.message
        : `after event ${seq}: ${quote(messageOf(error))}`
    throw new CodexboxError(
      'protocol-violation',
      `The container wrote something that is no event of ours (${what}); it was stopped.`,
      { cause: error },
    )
  }
}
