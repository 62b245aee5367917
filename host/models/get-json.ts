import { ask } from '../net/ask.ts'

export interface JsonAnswer {
  status: number
  etag: string | undefined
  /** The parsed body; undefined if it is not JSON, such as a proxy's page. */
  json: unknown
}

export interface GetJsonOptions {
  headers: Record<string, string>
  timeoutMs: number
  maxBytes: number
  signal?: AbortSignal | undefined
}

/**
 * One GET request to the service.
 * @throws CodexboxError `model-unreachable` without a complete answer
 */
export async function getJson(url: URL, options: GetJsonOptions): Promise<JsonAnswer> {
  const { status, headers, body } = await ask(url, {
    ...options,
    method: 'GET',
    // The next model request reuses the connection.
    keepsAlive: true,
    code: 'model-unreachable',
  })
  return { status, etag: headers.etag, json: parseJson(body) }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's message quotes the text, which may hold secrets.
    return undefined
  }
}
