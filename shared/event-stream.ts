import { pipeline, type Readable, Transform, type TransformCallback } from 'node:stream'

/** The `error.code` of an answer that is JSON, but neither a response nor an error. */
export const NOT_A_RESPONSE = 'not_a_response'

/** Whether a body of this type is a web page, which somebody else than the service has sent. */
export function isPageType(contentType: string | undefined): boolean {
  return /\btext\/html\b|\bxhtml\b/i.test(contentType ?? '')
}

/**
 * The body of an answer to a model request as the stream of events that was asked for. A proxy may
 * have collected them, and some servers know no streams: an answer that is JSON, all at once, becomes
 * the events that it stands for, and what begins as no event can is told by one. A page that is called
 * so, and anything else, is passed on as it comes.
 */
export function eventStream(contentType: string | undefined, body: Readable): Readable {
  // The usual case costs nothing. Other types tell nothing: streams come under any.
  if (/\btext\/event-stream\b/i.test(contentType ?? '') || isPageType(contentType)) return body
  return pipeline(body, new EventsOf(), () => {}) // Whoever reads it has the error from there.
}

class EventsOf extends Transform {
  readonly #held: Buffer[] = []
  #bytes = 0
  #kind: 'events' | 'json' | 'other' | undefined

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    done(this.#take(chunk))
  }

  override _flush(done: TransformCallback): void {
    // Torn JSON is to its reader a stream that broke off before its first event.
    const answer = this.#kind === 'json' && parseJson(Buffer.concat(this.#held).toString('utf8'))
    if (answer) for (const event of eventsOf(answer)) this.#pushEvent(event)
    if (this.#kind === undefined) this.#passHeld()
    done()
  }

  /** Why it takes no more. */
  #take(chunk: Buffer): Error | null {
    if (this.#kind === undefined) {
      this.#kind = kindOf(chunk)
      if (this.#kind === 'other') this.#pushEvent(notAResponse)
    }
    if (this.#kind === 'events') {
      this.#passHeld()
      this.push(chunk)
      return null
    }
    this.#bytes += chunk.length
    if (this.#kind !== 'other') this.#held.push(chunk)
    return this.#bytes > MAX_BYTES
      ? new Error(`the answer is longer than ${MAX_BYTES} bytes`)
      : null
  }

  #passHeld(): void {
    for (const chunk of this.#held.splice(0)) this.push(chunk)
  }

  #pushEvent(event: Json): void {
    this.push(`data: ${JSON.stringify(event)}\n\n`)
  }
}

/** No line of an event stream begins as JSON or a page does. Blank ones keep a connection alive. */
function kindOf(chunk: Buffer) {
  const [, first] = /^[\uFEFF\s]*([^\uFEFF\s])/.exec(chunk.toString('utf8')) ?? []
  if (first === undefined) return undefined
  return first === '{' ? 'json' : '<["'.includes(first) ? 'other' : 'events'
}

/** As long as an event may be. */
const MAX_BYTES = 64 * 1024 * 1024

export type Json = Record<string, unknown>

function eventsOf(answer: Json): Json[] {
  if (Array.isArray(answer.output)) return eventsOfResponse(answer, answer.output)
  return [errorEvent(answer) ?? notAResponse]
}

/** The `error` event that this is, by its type or by what it holds; some servers leave the type out. */
export function errorEvent(answer: Json): Json | undefined {
  if (answer.type === 'error') return answer
  if (isPresent(answer.error)) return { ...answer, type: 'error' }
  return typeof answer.detail === 'string' ? { type: 'error', message: answer.detail } : undefined
}

function eventsOfResponse(answer: Json, output: unknown[]): Json[] {
  // The items have been told; what is left of it are its end and its figures.
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

/** The event by which the stream of a response ends that says this of itself. */
export function endOf(response: Json): Json {
  const { status, error, incomplete_details: lack } = response
  if (status === 'incomplete' || isPresent(lack)) return { type: 'response.incomplete', response }
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
    // The parser's message quotes the text, and the text may be anything.
    return undefined
  }
}
