import type { IncomingHttpHeaders } from 'node:http'
import { NoAnswerError, TooLargeError } from './no-answer-error.ts'
import { type OutgoingRequest, send } from './send.ts'
import { withDeadline } from './with-deadline.ts'

export interface Question extends Omit<OutgoingRequest, 'signal' | 'keepsAlive'> {
  /** See `OutgoingRequest`; not by default. */
  keepsAlive?: boolean | undefined
  signal?: AbortSignal | undefined
  /** For the whole answer. Default: 30 seconds. */
  timeoutMs?: number | undefined
  /** Limit of the answer. Default: 1 MB. */
  maxBytes?: number | undefined
}

export interface CompleteAnswer {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

/**
 * Sends one request and reads its answer to the end within the time limit.
 * @throws NoAnswerError with `question.code` without a complete answer.
 */
export function ask(url: URL, question: Question): Promise<CompleteAnswer> {
  const { timeoutMs = TIMEOUT_MS, maxBytes = MAX_BYTES, keepsAlive = false, code } = question
  return withDeadline(timeoutMs, question.signal, async (signal) => {
    const { status, headers, body } = await send(url, { ...question, keepsAlive, signal })
    try {
      return { status, headers, body: await readCapped(body, maxBytes) }
    } catch (error) {
      throw new NoAnswerError(code, { url, signal, error })
    }
  })
}

/** Another process may be waiting for our lock meanwhile. */
const TIMEOUT_MS = 30_000
const MAX_BYTES = 1024 * 1024

async function readCapped(body: AsyncIterable<Buffer>, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.byteLength
    if (bytes > maxBytes) {
      throw new TooLargeError(`the answer is larger than ${maxBytes / 1024 ** 2} MB`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
