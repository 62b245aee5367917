import type { WireUsage } from './response-events.ts'
import type { ResponsesRequest } from './responses-request.ts'
import type { Step } from './step.ts'

/** Approximate, for English text and code. */
const BYTES_PER_TOKEN = 4

/** Estimates the token usage from the real sizes of the request and its response. */
export function usageOf(request: ResponsesRequest, step: Step, cache: PromptCache): WireUsage {
  const parts = promptParts(request)
  const input = tokens(...parts)
  const reasoning = tokens(step.reasoning ?? '')
  const calls = (step.calls ?? []).map((call) => call.name + JSON.stringify(call.arguments))
  const output = reasoning + tokens(step.text ?? '', ...calls)
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: tokens(...cache.take(request.prompt_cache_key, parts)) },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: input + output,
  }
}

/** In the service's prompt order; a changed part invalidates the cache from there on. */
function promptParts({ tools, instructions, input }: ResponsesRequest): string[] {
  const items = typeof input === 'string' ? [input] : input.map((item) => JSON.stringify(item))
  return [JSON.stringify(tools), instructions ?? '', ...items]
}

function tokens(...texts: string[]): number {
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
  return Math.ceil(bytes / BYTES_PER_TOKEN)
}

/** Stores the latest prompt of each key. */
export class PromptCache {
  readonly #latest = new Map<string, readonly string[]>()

  /** The longest common prefix of `parts` and the previous prompt. Stores `parts` as the latest prompt. */
  take(key: string | undefined, parts: readonly string[]): string[] {
    if (key === undefined) return []
    const previous = this.#latest.get(key) ?? []
    this.#latest.set(key, parts)
    const differsAt = parts.findIndex((part, index) => part !== previous[index])
    return parts.slice(0, differsAt === -1 ? parts.length : differsAt)
  }
}
