import type { Item } from '../../shared/items.ts'
import type { RunRequest } from '../../shared/protocol.ts'
import type { History } from './history.ts'
import { toolDefinitions } from './tool-definitions.ts'

/** The first items of every request of a conversation, the same to the byte, so the service caches them. */
export function headItems({ instructions, form, conversationId }: RunRequest): Item[] {
  const definitions = toolDefinitions(form, conversationId)
  const message = {
    type: 'message',
    id: `msg_${conversationId}`,
    role: 'developer',
    content: [{ type: 'input_text', text: instructions }],
  }
  return 'item' in definitions ? [definitions.item, message] : [message]
}

/** The body of a request for the next answer. `more` stands behind the history in this request alone. */
export function requestBody(
  request: RunRequest,
  history: History,
  more: readonly Item[] = [],
): string {
  const { form, model, reasoning, verbosity, outputSchema, conversationId } = request
  const definitions = toolDefinitions(form, conversationId)
  const format = outputSchema && {
    type: 'json_schema',
    strict: true,
    schema: outputSchema,
    name: 'codexbox_output',
  }
  const text = { ...(verbosity ? { verbosity } : {}), ...(format ? { format } : {}) }
  return history.requestBody(
    {
      model,
      stream: true,
      store: false,
      ...('tools' in definitions ? { tools: definitions.tools } : {}),
      tool_choice: 'auto',
      parallel_tool_calls: !form.lite,
      reasoning: { ...reasoning, ...(form.lite ? { context: 'all_turns' } : {}) },
      include: ['reasoning.encrypted_content'],
      prompt_cache_key: conversationId,
      ...(Object.keys(text).length > 0 ? { text } : {}),
    },
    more,
  )
}

export function userMessage(text: string, images: readonly string[] = []): Item {
  return {
    type: 'message',
    role: 'user',
    content: [
      ...images.map((url) => ({ type: 'input_image', image_url: url, detail: 'auto' })),
      { type: 'input_text', text },
    ],
  }
}
