import { pipeline, type Readable, Transform, type TransformCallback } from 'node:stream'

/** The `error.code` of an answer that is JSON, but neither a response nor an error. */
export const NOT_A_RESPONSE = 'not_a_response'

/** Whether a body of this type is a web page: a proxy sent it, not the service. */
export function isPageType(contentType: string | undefined): boolean {
  return /\btext\/html\b|\bxhtml\b/i.test(contentType ?? '')
}

/**
 * The body of an answer to a model request as a stream of events. A proxy may have collected the
 * events, and some servers do not stream: a JSON answer becomes the equivalent events, and a body that
 * cannot be an event stream becomes an `error` event. A body with the type of a web page, and any other
 * body, is passed on unchanged.
 */
export function eventStream(contentType: string | undefined, body: Readable): Readable {
  // The usual case costs nothing. Other types are not reliable: servers send streams under any type.
  if (/\btext\/event-stream\b/i.test(contentType ?? '') || isPageType(contentType)) return body
  return pipeline(body, new EventsTransform(), () => {}) // The reader gets the error.
}

class EventsTransform extends Transform {
  readonly #buffered: Buffer[] = []
  #bytes = 0
  #kind: 'events' | 'json' | 'other' | undefined

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    done(this.#take(chunk))
  }

  override _flush(done: TransformCallback): void {
    // With incomplete JSON the reader sees a stream that broke off before its first event.
    const answer =
      this.#kind === 'json' && parseJson(Buffer.concat(this.#buffered).toString('utf8'))
    if (answer) for (const event of eventsOf(answer)) this.#pushEvent(event)
    if (this.#kind === undefined) this.#flushBuffered()
    done()
  }

  /** The error when the answer is too long. */
  #take(chunk: Buffer): Error | null {
    if (this.#kind === undefined) {
      this.#kind = kindOf(chunk)
      if (this.#kind === 'other') this.#pushEvent(notAResponse)
    }
    if (this.#kind === 'events') {
      this.#flushBuffered()
      this.push(chunk)
      return null
    }
    this.#bytes += chunk.length
    if (this.#kind !== 'other') this.#buffered.push(chunk)
    return this.#bytes > MAX_BYTES
      ? new Error(`the answer is longer than ${MAX_BYTES} bytes`)
      : null
  }

  #flushBuffered(): void {
    for (const chunk of this.#buffered.splice(0)) this.push(chunk)
  }

  #pushEvent(event: Json): void {
    this.push(`data: ${JSON.stringify(event)}\n\n`)
  }
}

/** No line of an event stream starts like JSON or a web page. Blank lines keep a connection alive. */
function kindOf(chunk: Buffer) {
  const [, first] = /^[\uFEFF\s]*([^\uFEFF\s])/.exec(chunk.toString('utf8')) ?? []
  if (first === undefined) return undefined
  return first === '{' ? 'json' : '<["'.includes(first) ? 'other' : 'events'
}

/** The limit for one event (`sseEvents`). */
const MAX_BYTES = 64 * 1024 * 1024

export type Json = Record<string, unknown>

function eventsOf(answer: Json): Json[] {
  if (Array.isArray(answer.output)) return eventsOfResponse(answer, answer.output)
  return [errorEvent(answer) ?? notAResponse]
}

/** The `error` event in `answer`, by its type or its fields; some servers leave the type out. */
export function errorEvent(answer: Json): Json | undefined {
  if (answer.type === 'error') return answer
  if (isPresent(answer.error)) return { ...answer, type: 'error' }
  return typeof answer.detail === 'string' ? { type: 'error', message: answer.detail } : undefined
}

function eventsOfResponse(answer: Json, output: unknown[]): Json[] {
  // The items are events of their own; the last event has the status and the usage.
  const end = endOf({ ...answer, output: [] })
  if (end.type === 'response.failed') return [end]
  const items = output
    .filter(isObject)
    .flatMap((item) => [
      ...textsOf(item).map((delta) => ({ type: 'response.output_text.delta', delta })),
      { type: 'response.output_item.done', item },
    ])
  return [...items, end]
}

/** The terminal event for a response with this status. */
export function endOf(response: Json): Json {
  const { status, error, incomplete_details: incomplete } = response
  if (status === 'incomplete' || isPresent(incomplete))
    return { type: 'response.incomplete', response }
  if (isPresent(error)) return { type: 'response.failed', response }
  if (!isPresent(status) || status === 'completed') return { type: 'response.completed', response }
  const message = `the response is called ${JSON.stringify(status)}`
  return { type: 'response.failed', response: { ...response, error: { message } } }
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
    message: 'what came in the place of a stream of events is no response',
  },
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isPresent = (value: unknown) => value !== undefined && value !== null

function parseJson(text: string): Json | undefined {
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch {
    // The parser's message is not used: it quotes the text, which may hold secrets.
    return undefined
  }
}
