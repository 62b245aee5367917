import type { CustomToolCallItem, FunctionCallItem, Item } from '../../shared/items.ts'
import type { Usage } from '../../shared/protocol.ts'
import { failureOfEvent, failureOfStream, type ModelFailure } from './model-failure.ts'
import { sseEvents } from './sse.ts'

export type CallItem = FunctionCallItem | CustomToolCallItem

/** What one request brought. Finished items count even when the stream failed after them. */
export interface ModelReply {
  calls: CallItem[]
  /** Absent after `response.completed`, the only success. */
  failure?: ModelFailure
  usage?: Usage
  /** The service wants another request though there is no call to answer. */
  wantsMore: boolean
}

export interface ReplyListener {
  /** The first event has come. */
  onStart(): void
  onItem(item: Item): void
  onText(delta: string): void
  onReasoning(delta: string): void
}

/**
 * Reads a stream of Responses events. Content is taken from `response.output_item.done` alone: with
 * `store: false` the service ends with an empty `output`, and added or delta events may be torn.
 * Unknown events and unreadable ones are skipped, as the official client does. Never throws.
 */
export async function readReply(
  chunks: AsyncIterable<Buffer>,
  listener: ReplyListener,
): Promise<ModelReply> {
  const calls: CallItem[] = []
  let isFirst = true
  try {
    for await (const data of sseEvents(chunks)) {
      const event = parseEvent(data)
      if (!event) continue
      if (isFirst) listener.onStart()
      isFirst = false
      switch (event.type) {
        case 'response.output_item.done':
          if (!isItem(event.item) || isRefusalAlone(event.item)) break
          listener.onItem(event.item)
          if (isCall(event.item)) calls.push(event.item)
          break
        case 'response.output_text.delta':
        case 'response.refusal.delta':
          if (typeof event.delta === 'string') listener.onText(event.delta)
          break
        case 'response.reasoning_summary_text.delta':
        case 'response.reasoning_text.delta':
          if (typeof event.delta === 'string') listener.onReasoning(event.delta)
          break
        case 'response.reasoning_summary_part.added':
          if (event.summary_index !== 0) listener.onReasoning('\n\n')
          break
        case 'response.completed':
          // What follows is not waited for; leaving the loop ends the response.
          return {
            calls,
            usage: readUsage(event.response?.usage),
            wantsMore: event.response?.end_turn === false,
          }
        case 'response.failed':
        case 'response.incomplete':
          return { calls, failure: failureOfEvent(event), wantsMore: false }
      }
    }
    return { calls, failure: failureOfStream('the stream ended too early', true), wantsMore: false }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return { calls, failure: failureOfStream(reason, true), wantsMore: false }
  }
}

interface StreamEvent {
  type: string
  item?: unknown
  delta?: unknown
  summary_index?: unknown
  response?: { usage?: unknown; end_turn?: unknown }
}

function parseEvent(data: string): StreamEvent | undefined {
  try {
    const event: unknown = JSON.parse(data)
    return isItem(event) ? (event as StreamEvent) : undefined
  } catch {
    return undefined
  }
}

function isItem(value: unknown): value is Item {
  return (
    typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
  )
}

function isCall(item: Item): item is CallItem {
  return (
    (item.type === 'function_call' || item.type === 'custom_tool_call') &&
    typeof item.call_id === 'string'
  )
}

/** The service does not take back a message that holds nothing but a refusal. */
function isRefusalAlone(item: Item): boolean {
  const { content } = item
  return (
    item.type === 'message' &&
    Array.isArray(content) &&
    content.length > 0 &&
    content.every((part) => part?.type === 'refusal')
  )
}

/** Missing figures count as zero. */
function readUsage(value: unknown): Usage {
  const usage = (value ?? {}) as {
    input_tokens?: unknown
    output_tokens?: unknown
    input_tokens_details?: { cached_tokens?: unknown } | null
    output_tokens_details?: { reasoning_tokens?: unknown } | null
  }
  return {
    inputTokens: tokens(usage.input_tokens),
    cachedInputTokens: tokens(usage.input_tokens_details?.cached_tokens),
    outputTokens: tokens(usage.output_tokens),
    reasoningTokens: tokens(usage.output_tokens_details?.reasoning_tokens),
  }
}

function tokens(value: unknown): number {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : 0
}
