import { endOf, errorEvent, type Json } from '../../shared/event-stream.ts'
import type { CustomToolCallItem, FunctionCallItem, Item } from '../../shared/items.ts'
import type { Usage } from '../../shared/protocol.ts'
import { failureOfEvent, failureOfStream, type ModelFailure } from './model-failure.ts'
import { sseEvents } from './sse.ts'

export type CallItem = FunctionCallItem | CustomToolCallItem

/** The result of one request. Finished items were passed on even when the stream failed after them. */
export interface ModelReply {
  /** Absent after `response.completed`, the only success. */
  failure?: ModelFailure
  usage?: Usage
  /** The service wants another request though there is no call to answer. */
  wantsMore: boolean
}

export interface ReplyListener {
  /** Each event of any type, before its item or delta. */
  onEvent(event: StreamEvent): void
  onItem(item: Item): void
  onText(delta: string): void
  onReasoning(delta: string): void
}

/**
 * Reads a stream of Responses events. Content is taken from `response.output_item.done` alone: with
 * `store: false` the service ends with an empty `output`, and added or delta events may be torn.
 * Unknown events and unreadable ones are skipped, as the official client does; but when a message or
 * a call was added and never done, the answer is incomplete. Never throws.
 */
export async function readReply(
  chunks: AsyncIterable<Buffer>,
  listener: ReplyListener,
): Promise<ModelReply> {
  let expected = 0
  try {
    for await (const data of sseEvents(chunks)) {
      const event = parseEvent(data)
      if (!event) continue
      listener.onEvent(event)
      switch (event.type) {
        case 'response.output_item.added':
          if (isMessageOrCall(event.item)) expected++
          break
        case 'response.output_item.done':
          if (isMessageOrCall(event.item)) expected--
          if (isTyped(event.item)) listener.onItem(event.item)
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
        case 'response.completed': {
          // A `response.completed` may carry a status that says otherwise.
          const end = endOf(event.response ?? {})
          if (end.type !== event.type) return { failure: failureOfEvent(end), wantsMore: false }
          if (expected > 0) return { failure: failureOfStream(INCOMPLETE, true), wantsMore: false }
          // Later events are not awaited; leaving the loop ends the response.
          return {
            usage: readUsage(event.response?.usage),
            wantsMore: event.response?.end_turn === false,
          }
        }
        case 'response.failed':
        case 'response.incomplete':
        case 'error':
          return { failure: failureOfEvent(event), wantsMore: false }
      }
    }
    return { failure: failureOfStream('the stream ended too early', true), wantsMore: false }
  } catch (error) {
    return { failure: failureOfStream(error, true), wantsMore: false }
  }
}

export interface StreamEvent {
  type: string
  item?: unknown
  delta?: unknown
  summary_index?: unknown
  response?: Json
}

function parseEvent(data: string): StreamEvent | undefined {
  try {
    const event: unknown = JSON.parse(data)
    return (isTyped(event) ? event : errorEvent(Object(event))) as StreamEvent | undefined
  } catch {
    return undefined
  }
}

function isTyped(value: unknown): value is Item {
  return (
    typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
  )
}

const INCOMPLETE = 'what it had begun to say or to call did not come'

function isMessageOrCall(item: unknown): boolean {
  return isTyped(item) && ['message', 'function_call', 'custom_tool_call'].includes(item.type)
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
