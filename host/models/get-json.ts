import { CodexboxError } from '../../shared/errors.ts'
import { withDeadline } from '../auth/with-deadline.ts'
import { send } from '../net/send.ts'

export interface JsonAnswer {
  status: number
  etag: string | undefined
  /** The body, when it was JSON; a proxy's page is none. */
  json: unknown
}

export interface GetJsonOptions {
  headers: Record<string, string>
  timeoutMs: number
  maxBytes: number
  signal?: AbortSignal | undefined
}

/**
 * Asks the service for something, once.
 * @throws CodexboxError `model-unreachable` when no whole answer came; AbortError
 */
export function getJson(url: URL, options: GetJsonOptions): Promise<JsonAnswer> {
  const { headers, timeoutMs, maxBytes } = options
  return withDeadline(timeoutMs, options.signal, async (signal) => {
    const {
      status,
      headers: answered,
      body,
    } = await send(url, {
      method: 'GET',
      headers,
      signal,
      keepsAlive: false,
      code: 'model-unreachable',
    })
    const chunks: Buffer[] = []
    let bytes = 0
    try {
      for await (const chunk of body) {
        bytes += chunk.length
        if (bytes > maxBytes) throw new Error(`the answer is larger than ${maxBytes} bytes`)
        chunks.push(chunk)
      }
    } catch (error) {
      const why = error instanceof Error ? error.message : 'failed'
      throw new CodexboxError('model-unreachable', `Asked ${url.origin}: ${why}. Try again.`)
    }
    return { status, etag: answered.etag, json: parseJson(Buffer.concat(chunks).toString('utf8')) }
  })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's message quotes the text, and the text may be anything.
    return undefined
  }
}
