import type { Item } from './items.ts'

/**
 * Whether the service accepts `item` in a history, apart from its id. The service refuses an item
 * without a field that its type needs each time it is sent.
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

/** Whether the text has the characters and the length of an id or a name. */
export const isWord = (text: unknown): text is string =>
  typeof text === 'string' && /^[\w-]+$/.test(text) && text.length <= MAX_ID

/** Whether the service accepts the id for an item of this type. */
export const hasUsableId = ({ type, id }: Item) =>
  isWord(id) && id.startsWith(`${ID_PREFIX[type]}_`)

/** The id prefix of each type that we send. */
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

/** Whether the item holds its content encrypted: the service stores nothing, so an id alone is useless. */
export function isSealed({ encrypted_content: sealed }: Item): boolean {
  return typeof sealed === 'string'
}

/** Some servers send reasoning as text, and accept it back as text. */
function isOpen({ content }: Item): boolean {
  return Array.isArray(content) && content.length > 0
}

function hasParts({ role, content }: Item): boolean {
  if (!Array.isArray(content)) return false
  if (role !== 'assistant') return ROLES.includes(String(role)) && content.every(isInput)
  // The service does not accept a message that is only a refusal.
  const isRefusal = content.length > 0 && content.every((part) => part?.type === 'refusal')
  return !isRefusal && content.every(isOutput)
}

const ROLES = ['user', 'developer', 'system']

const isInput = (part: Item | null) =>
  part?.type === 'input_image' || (part?.type === 'input_text' && typeof part.text === 'string')
const isOutput = (part: Item | null) =>
  (part?.type === 'output_text' && typeof part.text === 'string') ||
  (part?.type === 'refusal' && typeof part.refusal === 'string')
