/** The text of a model's message to the user, a refusal included; undefined for any other item. */
export function assistantText(item: { type: string; role?: unknown; content?: unknown }) {
  if (item.type !== 'message' || item.role !== 'assistant' || !Array.isArray(item.content)) {
    return undefined
  }
  return item.content.map((part) => String(part?.text ?? part?.refusal ?? '')).join('')
}
