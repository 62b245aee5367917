import type { Item } from '../../../shared/items.ts'
import type { Step } from './step.ts'

/** An event of the response stream, as the service spells it. */
export type StreamEvent = { type: string } & Record<string, unknown>

/** As the service spells it; `input_tokens` includes the cached part. */
export interface WireUsage {
  input_tokens: number
  input_tokens_details: { cached_tokens: number }
  output_tokens: number
  output_tokens_details: { reasoning_tokens: number }
  total_tokens: number
}

export interface ResponseOptions {
  model: string
  usage: WireUsage
  /** A new id: the prefix, and something that was never used before. */
  newId(prefix: string): string
  /** Reasoning comes encrypted only when the request asks for it. */
  withEncryptedReasoning: boolean
}

/**
 * A whole response to a step, in the order of the service: reasoning, text, calls. Whole items stand
 * only in `response.output_item.done`; the rest is for showing them as they grow.
 */
export function responseEvents(step: Step, options: ResponseOptions): StreamEvent[] {
  const { model, usage, newId } = options
  const response = { id: newId('resp'), object: 'response', model }
  const isLast = !step.calls?.length
  const items = [
    ...(step.reasoning ? [reasoningItem(step.reasoning, options)] : []),
    ...(step.text ? [messageItem(step.text, isLast, newId)] : []),
    ...(step.calls ?? []).map((request) => ({
      type: 'function_call',
      id: newId('fc'),
      status: 'completed',
      call_id: newId('call'),
      name: request.name,
      arguments: JSON.stringify(request.arguments),
    })),
  ]
  const inProgress = { ...response, status: 'in_progress' }
  const events: StreamEvent[] = [
    { type: 'response.created', response: inProgress },
    { type: 'response.in_progress', response: inProgress },
    ...items.flatMap((item, index) => itemEvents(item, index)),
    { type: 'response.completed', response: { ...response, status: 'completed', usage } },
  ]
  return events.map((event, index) => ({ ...event, sequence_number: index }))
}

function reasoningItem(text: string, { newId, withEncryptedReasoning }: ResponseOptions): Item {
  return {
    type: 'reasoning',
    id: newId('rs'),
    summary: [{ type: 'summary_text', text }],
    // Opaque to the client, which only has to send it back; there is nothing secret in ours.
    ...(withEncryptedReasoning
      ? { encrypted_content: Buffer.from(`demo-script ${text}`).toString('base64url') }
      : {}),
  }
}

function messageItem(text: string, isLast: boolean, newId: ResponseOptions['newId']): Item {
  return {
    type: 'message',
    id: newId('msg'),
    role: 'assistant',
    status: 'completed',
    phase: isLast ? 'final_answer' : 'commentary',
    content: [textPart(text)],
  }
}

const textPart = (text: string) => ({ type: 'output_text', text, annotations: [], logprobs: [] })

function itemEvents(item: Item, output_index: number): StreamEvent[] {
  return [
    { type: 'response.output_item.added', output_index, item: begun(item) },
    ...growth(item).map((event) => ({ ...event, item_id: item.id, output_index })),
    { type: 'response.output_item.done', output_index, item },
  ]
}

/** The item as it is announced: everything but its content. */
function begun(item: Item): Item {
  if (item.type === 'reasoning') return { type: item.type, id: item.id, summary: [] }
  const empty = item.type === 'message' ? { content: [] } : { arguments: '' }
  return { ...item, ...empty, status: 'in_progress' }
}

function growth(item: Item): StreamEvent[] {
  switch (item.type) {
    case 'reasoning': {
      const text = firstText(item.summary)
      const at = { summary_index: 0 }
      const name = 'response.reasoning_summary'
      return [
        { type: `${name}_part.added`, ...at, part: { type: 'summary_text', text: '' } },
        ...pieces(text).map((delta) => ({ type: `${name}_text.delta`, ...at, delta })),
        { type: `${name}_text.done`, ...at, text },
        { type: `${name}_part.done`, ...at, part: { type: 'summary_text', text } },
      ]
    }
    case 'message': {
      const text = firstText(item.content)
      const at = { content_index: 0 }
      return [
        { type: 'response.content_part.added', ...at, part: textPart('') },
        ...pieces(text).map((delta) => ({ type: 'response.output_text.delta', ...at, delta })),
        { type: 'response.output_text.done', ...at, text },
        { type: 'response.content_part.done', ...at, part: textPart(text) },
      ]
    }
    default: {
      const name = 'response.function_call_arguments'
      return [
        { type: `${name}.delta`, delta: item.arguments },
        { type: `${name}.done`, arguments: item.arguments },
      ]
    }
  }
}

function firstText(parts: unknown): string {
  return (parts as { text: string }[])[0]?.text ?? ''
}

/** A long text comes in larger pieces rather than for longer. */
const MAX_PIECES = 80

/** `text` in pieces of a few words. Joined they are the text again. */
function pieces(text: string): string[] {
  const words = text.split(/(?<=\s)(?=\S)/)
  const perPiece = Math.max(2, Math.ceil(words.length / MAX_PIECES))
  const joined: string[] = []
  for (let start = 0; start < words.length; start += perPiece) {
    joined.push(words.slice(start, start + perPiece).join(''))
  }
  return joined
}
