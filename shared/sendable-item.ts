import type { Item } from './items.ts'

/**
 * Whether the service takes `item` as a part of a history, as far as the item itself goes. It refuses
 * one without what its type needs each time it is sent, for ever. Ids are another matter.
 */
export function isSendable(item: Item): boolean {
  switch (item.type) {
    case 'message':
      return hasParts(item)
    case 'reasoning':
      return Array.isArray(item.summary) && (isSealed(item) || isOpen(item))
    case 'compaction':
      return isSealed(item)
    case 'function_call':
      return isWord(item.name) && typeof item.arguments === 'string'
    case 'custom_tool_call':
      return isWord(item.name) && typeof item.input === 'string'
    case 'function_call_output':
    case 'custom_tool_call_output':
      return typeof item.output === 'string' || Array.isArray(item.output)
    case 'web_search_call':
      return true
    default:
      return false
  }
}

/** The service refuses longer ids and names. */
export const MAX_ID = 64

/** Whether it is of the letters and the length that ids and names have. */
export const isWord = (text: unknown): text is string =>
  typeof text === 'string' && /^[\w-]+$/.test(text) && text.length <= MAX_ID

/** Whether the id is one that the service takes for an item of this type. */
export const hasUsableId = ({ type, id }: Item) =>
  isWord(id) && id.startsWith(`${ID_PREFIX[type]}_`)

/** What the ids of each type that we send begin with. */
export const ID_PREFIX: Record<string, string> = {
  message: 'msg',
  reasoning: 'rs',
  function_call: 'fc',
  function_call_output: 'fco',
  custom_tool_call: 'ctc',
  custom_tool_call_output: 'ctco',
  web_search_call: 'ws',
  compaction: 'cmp',
}

/** What is not sealed in the item cannot be asked for by its id: nothing is stored at the service. */
export function isSealed({ encrypted_content: sealed }: Item): boolean {
  return typeof sealed === 'string'
}

/** Some servers say what was thought, and take it back as it is. */
function isOpen({ content }: Item): boolean {
  return Array.isArray(content) && content.length > 0
}

function hasParts({ role, content }: Item): boolean {
  if (!Array.isArray(content)) return false
  if (role !== 'assistant') return ROLES.includes(String(role)) && content.every(isInput)
  // A message that holds nothing but a refusal is not taken back.
  const isRefusal = content.length > 0 && content.every((part) => part?.type === 'refusal')
  return !isRefusal && content.every(isOutput)
}

const ROLES = ['user', 'developer', 'system']

const isInput = (part: Item | null) =>
  part?.type === 'input_image' || (part?.type === 'input_text' && typeof part.text === 'string')
const isOutput = (part: Item | null) =>
  (part?.type === 'output_text' && typeof part.text === 'string') ||
  (part?.type === 'refusal' && typeof part.refusal === 'string')
