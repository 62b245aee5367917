/** As the service counts them; `input` includes cached tokens. */
export interface Tokens {
  input: number
  cached: number
  output: number
}

export const NO_TOKENS: Tokens = { input: 0, cached: 0, output: 0 }

const LF = 0x0a
/** The container's parser has the same bound. */
const MAX_LINE_BYTES = 64 * 1024 * 1024

/**
 * Reads the figures at the end of a passing stream. Buffers only the current line, and parses
 * lines, not events: the service puts each event's data on one line.
 */
export class UsageMeter {
  #line: Buffer[] = []
  #bytes = 0
  /** Undefined until they arrive. */
  tokens: Tokens | undefined

  see(chunk: Buffer): void {
    const end = chunk.lastIndexOf(LF) + 1
    if (end > 0) {
      this.#keep(chunk.subarray(0, end))
      this.#judge(Buffer.concat(this.#line))
      this.#line = []
      this.#bytes = 0
    }
    this.#keep(chunk.subarray(end))
  }

  #keep(piece: Buffer): void {
    this.#bytes += piece.length
    if (this.#bytes > MAX_LINE_BYTES) this.#line = []
    else if (piece.length > 0) this.#line.push(piece)
  }

  #judge(lines: Buffer): void {
    let end = 0
    for (let at = lines.indexOf(USAGE); at >= 0; at = lines.indexOf(USAGE, end)) {
      end = lines.indexOf(LF, at)
      const line = lines.toString('utf8', lines.lastIndexOf(LF, at) + 1, end)
      this.tokens = tokensOf(line) ?? this.tokens
    }
  }
}

/** The largest context of a model, input and output of one request together. */
export const LARGEST_CONTEXT = 1_000_000
/** Faster than any model writes. */
const TOKENS_PER_MS = 2

/**
 * An upper estimate of a request's cost without the service's figures: no text has more tokens
 * than bytes, and hidden reasoning takes time.
 */
export function estimatedTokens(request: {
  bytesUp: number
  bytesDown: number
  /** Since sending. */
  ms: number
  /** Whether the service may show the model web pages, whose size the host does not know. */
  webSearch: boolean
}): Tokens {
  const { bytesUp, bytesDown, ms, webSearch } = request
  const input = webSearch ? LARGEST_CONTEXT : Math.min(bytesUp, LARGEST_CONTEXT)
  const output = Math.max(bytesDown, Math.ceil(ms * TOKENS_PER_MS))
  return { input, cached: 0, output: Math.min(output, LARGEST_CONTEXT - input) }
}

/** Inside a text of the model the quotes are escaped. */
const USAGE = '"usage"'

function tokensOf(line: string): Tokens | undefined {
  let usage: unknown
  try {
    usage = JSON.parse(line.replace(/^data:/, ''))?.response?.usage
  } catch {
    return undefined
  }
  if (typeof usage !== 'object' || usage === null) return undefined
  const { input_tokens, input_tokens_details, output_tokens } = usage as Record<string, unknown>
  const cached = (input_tokens_details as { cached_tokens?: unknown } | null)?.cached_tokens
  return { input: count(input_tokens), cached: count(cached), output: count(output_tokens) }
}

function count(value: unknown): number {
  return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : 0
}
