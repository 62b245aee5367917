/** As the service counts them; what was cached is a part of `input`. */
export interface Tokens {
  input: number
  cached: number
  output: number
}

export const NO_TOKENS: Tokens = { input: 0, cached: 0, output: 0 }

const LF = 0x0a
/** A reader of the stream takes no longer events either. */
const MAX_LINE_BYTES = 64 * 1024 * 1024

/**
 * Reads the figures at the end of a stream that passes by, of which it keeps the line that has begun.
 * Lines are looked at, not events: the service puts each event's data on one.
 */
export class UsageMeter {
  #line: Buffer[] = []
  #bytes = 0
  /** Undefined until they have come. */
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

/** All that a model can have before it, and add to it, in one request. */
export const LARGEST_CONTEXT = 1_000_000
/** No model writes as fast. */
const TOKENS_PER_MS = 2

/**
 * What a request may have cost whose figures did not come, rather too much than too little: no text has more
 * tokens than bytes, and what a model thinks without showing it takes time.
 */
export function estimatedTokens(request: {
  bytesUp: number
  bytesDown: number
  /** Since it was sent. */
  ms: number
  /** Whether the service may put pages of the web before the model, whose size is not known here. */
  webSearch: boolean
}): Tokens {
  const { bytesUp, bytesDown, ms, webSearch } = request
  const input = webSearch ? LARGEST_CONTEXT : Math.min(bytesUp, LARGEST_CONTEXT)
  const output = Math.max(bytesDown, Math.ceil(ms * TOKENS_PER_MS))
  return { input, cached: 0, output: Math.min(output, LARGEST_CONTEXT - input) }
}

/** In a text of the model the quotes would be escaped. */
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
