import type { WireUsage } from './response-events.ts'
import type { ResponsesRequest } from './responses-request.ts'
import type { Step } from './step.ts'

/** Rough, and good enough for English text and code. */
const BYTES_PER_TOKEN = 4

/** What the request and its answer would cost, from their real sizes. */
export function usageOf(request: ResponsesRequest, step: Step, cache: PromptCache): WireUsage {
  const parts = promptParts(request)
  const input = tokens(...parts)
  const reasoning = tokens(step.reasoning ?? '')
  const calls = (step.calls ?? []).map((made) => made.name + JSON.stringify(made.arguments))
  const output = reasoning + tokens(step.text ?? '', ...calls)
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: tokens(...cache.take(request.prompt_cache_key, parts)) },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: input + output,
  }
}

/** In the order in which the service lays them out; a change in one spoils the cache from there on. */
function promptParts({ tools, instructions, input }: ResponsesRequest): string[] {
  const items = typeof input === 'string' ? [input] : input.map((item) => JSON.stringify(item))
  return [JSON.stringify(tools), instructions ?? '', ...items]
}

function tokens(...texts: string[]): number {
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
  return Math.ceil(bytes / BYTES_PER_TOKEN)
}

/** Remembers the latest prompt under each key. */
export class PromptCache {
  readonly #latest = new Map<string, readonly string[]>()

  /** The leading parts that were there the last time; from now on `parts` are what was there. */
  take(key: string | undefined, parts: readonly string[]): string[] {
    if (key === undefined) return []
    const known = this.#latest.get(key) ?? []
    this.#latest.set(key, parts)
    const differsAt = parts.findIndex((part, index) => part !== known[index])
    return parts.slice(0, differsAt === -1 ? parts.length : differsAt)
  }
}
