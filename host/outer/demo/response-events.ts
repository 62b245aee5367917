import type { Item } from '../../../shared/items.ts'
import type { Step } from './step.ts'

/** An event of the response stream, with the service's field names. */
export type StreamEvent = { type: string } & Record<string, unknown>

/** With the service's field names; `input_tokens` includes the cached tokens. */
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
  /** A unique id with this prefix. */
  newId(prefix: string): string
  /** Whether the request asks for encrypted reasoning. */
  withEncryptedReasoning: boolean
}

/**
 * The complete response to a step, in the order of the service: reasoning, text, calls. Only
 * `response.output_item.done` holds complete items; the other events show them in progress.
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
    // Opaque to the client, which only sends it back. It holds no secret.
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
    { type: 'response.output_item.added', output_index, item: announced(item) },
    ...progressEvents(item).map((event) => ({ ...event, item_id: item.id, output_index })),
    { type: 'response.output_item.done', output_index, item },
  ]
}

/** The item of `response.output_item.added`: everything but its content. */
function announced(item: Item): Item {
  if (item.type === 'reasoning') return { type: item.type, id: item.id, summary: [] }
  const empty = item.type === 'message' ? { content: [] } : { arguments: '' }
  return { ...item, ...empty, status: 'in_progress' }
}

function progressEvents(item: Item): StreamEvent[] {
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

/** A long text gets larger pieces, not more of them. */
const MAX_PIECES = 80

/** Splits `text` into pieces of a few words, without loss. */
function pieces(text: string): string[] {
  const words = text.split(/(?<=\s)(?=\S)/)
  const perPiece = Math.max(2, Math.ceil(words.length / MAX_PIECES))
  const joined: string[] = []
  for (let start = 0; start < words.length; start += perPiece) {
    joined.push(words.slice(start, start + perPiece).join(''))
  }
  return joined
}
