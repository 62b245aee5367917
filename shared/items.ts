import { z } from 'zod'

/**
 * A Responses item as the service sent it. Unknown fields and unknown types stay: an item must be sent
 * back as it was received, or encrypted reasoning and prompt caching break.
 */
export const Item = z.looseObject({ type: z.string() })
export type Item = z.infer<typeof Item>

export type FunctionCallItem = Item & {
  type: 'function_call'
  call_id: string
  name: string
  /** JSON text exactly as received; it may be invalid. */
  arguments: string
}

/** A call of a free-form tool: its input is text, not JSON. */
export type CustomToolCallItem = Item & {
  type: 'custom_tool_call'
  call_id: string
  name: string
  input: string
}
