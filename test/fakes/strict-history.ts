import type { Item } from '../../shared/items.ts'

/**
 * Why the service would refuse `items` as the history of a request; undefined when it takes them. A
 * history that it refuses once it refuses for ever, so this knows of every reason: each call has
 * exactly one output, somewhere behind it and of its own kind; ids are of their type, of the letters
 * and the length that are allowed, and no two items share one; and each item has what its type needs.
 */
export function historyFault(items: readonly Item[]): string | undefined {
  const ids = new Set<unknown>()
  const callIds = new Set<string>()
  const open = new Map<string, string>()
  for (const [index, item] of items.entries()) {
    const fault = itemFault(item) ?? idFault(item, ids) ?? pairFault(item, callIds, open)
    if (fault) return `input[${index}] (${JSON.stringify(item).slice(0, 200)}): ${fault}`
  }
  const [callId] = open.keys()
  return callId === undefined ? undefined : `No tool output found for call ${callId}.`
}

const PREFIX: Record<string, string> = {
  additional_tools: 'at',
  message: 'msg',
  reasoning: 'rs',
  function_call: 'fc',
  function_call_output: 'fco',
  custom_tool_call: 'ctc',
  custom_tool_call_output: 'ctco',
  web_search_call: 'ws',
  compaction: 'cmp',
}

const MAX_ID = 64

/** The id may be absent. */
function idFault({ type, id }: Item, taken: Set<unknown>): string | undefined {
  if (id === undefined) return undefined
  const prefix = `${PREFIX[type]}_`
  if (typeof id !== 'string' || !id.startsWith(prefix))
    return `The id does not begin with ${prefix}.`
  if (!/^[\w-]+$/.test(id)) return 'The id has characters that are not allowed.'
  if (id.length > MAX_ID) return `The id is longer than ${MAX_ID}.`
  if (taken.has(id)) return 'Duplicate item.'
  taken.add(id)
  return undefined
}

function pairFault(
  { type, call_id: callId }: Item,
  known: Set<string>,
  open: Map<string, string>,
): string | undefined {
  const kind = /^(function_call|custom_tool_call)(_output)?$/.exec(type)
  if (!kind) return undefined
  if (typeof callId !== 'string' || callId === '') return 'It has no call_id.'
  if (callId.length > MAX_ID) return `The call_id is longer than ${MAX_ID}.`
  if (!kind[2]) {
    if (known.has(callId)) return 'The call_id is that of an earlier call.'
    known.add(callId)
    open.set(callId, type)
    return undefined
  }
  if (open.get(callId) !== kind[1]) return 'No tool call is waiting for this output.'
  open.delete(callId)
  return undefined
}

function itemFault(item: Item): string | undefined {
  switch (item.type) {
    case 'message':
      return messageFault(item)
    case 'reasoning':
      if (!Array.isArray(item.summary)) return 'The summary is missing.'
      // Servers that do not seal it take it back as it was said.
      return Array.isArray(item.content) && item.content.length > 0 ? undefined : sealFault(item)
    case 'compaction':
      return sealFault(item)
    case 'function_call':
      return nameFault(item) ?? textFault(item, 'arguments')
    case 'custom_tool_call':
      return nameFault(item) ?? textFault(item, 'input')
    case 'function_call_output':
    case 'custom_tool_call_output':
      return Array.isArray(item.output) ? undefined : textFault(item, 'output')
    case 'compaction_trigger':
    case 'web_search_call':
    case 'additional_tools':
      return undefined
    default:
      return 'Its type is not known.'
  }
}

const PARTS: Record<string, readonly string[]> = {
  assistant: ['output_text', 'refusal'],
  user: ['input_text', 'input_image'],
  developer: ['input_text', 'input_image'],
}

function messageFault({ role, content }: Item): string | undefined {
  const allowed = PARTS[String(role)]
  if (!allowed) return 'There is no such role.'
  if (!Array.isArray(content)) return 'The content is missing.'
  if (!content.every((part) => allowed.includes(part?.type))) return 'A part is of no known type.'
  if (content.length > 0 && content.every((part) => part.type === 'refusal')) {
    return 'A refusal alone is not taken back.'
  }
  const isWhole = (part: Record<string, unknown>) =>
    part.type === 'input_image' || typeof (part.text ?? part.refusal) === 'string'
  return content.every(isWhole) ? undefined : 'The text of a part is missing.'
}

/** Nothing is stored at the service, so what it sealed is all it knows of the item. */
function sealFault(item: Item): string | undefined {
  return typeof item.encrypted_content === 'string' ? undefined : 'It is not stored.'
}

function nameFault({ name }: Item): string | undefined {
  return typeof name === 'string' && /^[\w-]{1,64}$/.test(name)
    ? undefined
    : 'The name is missing or not allowed.'
}

function textFault(item: Item, field: string): string | undefined {
  return typeof item[field] === 'string' ? undefined : `The ${field} is missing.`
}
