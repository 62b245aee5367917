import { pipeline, type Readable, Transform, type TransformCallback } from 'node:stream'

/** The `error.code` of an answer that is JSON, but neither a response nor an error. */
export const NOT_A_RESPONSE = 'not_a_response'

/**
 * The body of an answer to a model request as the stream of events that was asked for. A proxy may
 * have collected them, and some servers know no streams: an answer that is JSON, all at once, becomes
 * the events that it stands for. Anything else is passed on as it comes.
 */
export function eventStream(contentType: string | undefined, body: Readable): Readable {
  // The usual case costs nothing. Other types tell nothing: streams come under any.
  if (/\btext\/event-stream\b/i.test(contentType ?? '')) return body
  return pipeline(body, new UnlessJson(), () => {}) // Whoever reads it has the error from there.
}

class UnlessJson extends Transform {
  readonly #held: Buffer[] = []
  #bytes = 0
  #isJson: boolean | undefined

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    // No line of an event stream begins as JSON does. Blank ones keep a connection alive.
    this.#isJson ??= BEGIN.exec(chunk.toString('utf8'))?.[1]?.startsWith('{')
    if (this.#isJson === false) {
      this.#passHeld()
      this.push(chunk)
    } else {
      this.#bytes += chunk.length
      this.#held.push(chunk)
    }
    done(this.#bytes > MAX_BYTES ? new Error(`the answer is longer than ${MAX_BYTES} bytes`) : null)
  }

  override _flush(done: TransformCallback): void {
    // Torn JSON is to its reader a stream that broke off before its first event.
    const answer = this.#isJson && parseJson(Buffer.concat(this.#held).toString('utf8'))
    if (answer)
      for (const event of eventsOf(answer)) this.push(`data: ${JSON.stringify(event)}\n\n`)
    if (!this.#isJson) this.#passHeld()
    done()
  }

  #passHeld(): void {
    for (const chunk of this.#held.splice(0)) this.push(chunk)
  }
}

const BEGIN = /^[\uFEFF\s]*([^\uFEFF\s])/

/** As long as an event may be. */
const MAX_BYTES = 64 * 1024 * 1024

type Json = Record<string, unknown>

function eventsOf(answer: Json): Json[] {
  if (Array.isArray(answer.output)) return eventsOfResponse(answer, answer.output)
  // What would have come as an event came alone.
  if (answer.type === 'error') return [answer]
  if (isPresent(answer.error)) return [{ type: 'error', error: answer.error }]
  if (typeof answer.detail === 'string') return [{ type: 'error', message: answer.detail }]
  return [notAResponse]
}

function eventsOfResponse(answer: Json, output: unknown[]): Json[] {
  const { status } = answer
  // The items have been told; what is left of it are its end and its figures.
  const response = { ...answer, output: [] }
  if (status === 'failed' || isPresent(answer.error)) return [{ type: 'response.failed', response }]
  const items = output
    .filter(isObject)
    .flatMap((item) => [
      ...textsOf(item).map((delta) => ({ type: 'response.output_text.delta', delta })),
      { type: 'response.output_item.done', item },
    ])
  const end = status === 'incomplete' ? 'response.incomplete' : 'response.completed'
  return [...items, { type: end, response }]
}

function textsOf({ type, content }: Json): string[] {
  if (type !== 'message' || !Array.isArray(content)) return []
  return content
    .filter(isObject)
    .flatMap(({ type, text }) => (type === 'output_text' && typeof text === 'string' ? [text] : []))
}

const notAResponse: Json = {
  type: 'error',
  error: {
    code: NOT_A_RESPONSE,
    message: 'JSON came in the place of a stream of events, and there is no response in it',
  },
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isPresent = (value: unknown) => value !== undefined && value !== null

function parseJson(text: string): Json | undefined {
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch {
    // The parser's message quotes the text, and the text may be anything.
    return undefined
  }
}
