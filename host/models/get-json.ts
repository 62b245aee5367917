import { ask } from '../net/ask.ts'

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
 * @throws CodexboxError `model-unreachable` when no whole answer came
 */
export async function getJson(url: URL, options: GetJsonOptions): Promise<JsonAnswer> {
  const { status, headers, body } = await ask(url, {
    ...options,
    method: 'GET',
    // The model is asked at the same place next, and finds the connection made.
    keepsAlive: true,
    code: 'model-unreachable',
  })
  return { status, etag: headers.etag, json: parseJson(body) }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's message quotes the text, and the text may be anything.
    return undefined
  }
}
