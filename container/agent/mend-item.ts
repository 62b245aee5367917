import { createHash, randomUUID } from 'node:crypto'
import type { Item } from '../../shared/items.ts'

export interface Mended {
  /** Absent: the service would not take it back. */
  item?: Item
  /** What was changed, for the user. */
  repair?: string
}

/**
 * The item as it can be sent back: with an id, and a call with an id that is its own and of a length
 * that the service takes.
 */
export function mendItem(item: Item, takenCallIds: ReadonlySet<string>): Mended {
  if (isRefusalAlone(item)) return {}
  if (!KNOWN.has(item.type)) {
    return { repair: `an item of a type nobody knows is left out: ${item.type.slice(0, 64)}` }
  }
  const named = typeof item.id === 'string' ? item : { ...item, id: newId(item.type) }
  if (!NEEDS_CALL_ID.has(item.type)) return { item: named }
  const { call_id: given } = item
  if (typeof given !== 'string' || given === '') {
    return {
      item: { ...named, call_id: newId('call') },
      repair: 'a tool call without an id got one',
    }
  }
  if (takenCallIds.has(given)) {
    return {
      item: { ...named, call_id: newId('call') },
      repair: 'a tool call with the id of an earlier one got its own',
    }
  }
  if (given.length > MAX_CALL_ID) {
    const digest = createHash('sha256').update(given).digest('hex').slice(0, 40)
    return {
      item: { ...named, call_id: `call_${digest}` },
      repair: `a tool call with an id of ${given.length} characters got a shorter one`,
    }
  }
  return { item: named }
}

/** An id as the service makes them: a prefix that names the type, then something unique. */
export function newId(type: string): string {
  return `${PREFIX[type] ?? type}_${randomUUID()}`
}

/** The service refuses longer ones. */
const MAX_CALL_ID = 64

const PREFIX: Record<string, string> = {
  message: 'msg',
  reasoning: 'rs',
  function_call: 'fc',
  function_call_output: 'fco',
  custom_tool_call: 'ctc',
  custom_tool_call_output: 'ctco',
  web_search_call: 'ws',
  compaction: 'cmp',
}

/** The types an answer may hold. */
const KNOWN = new Set([
  'message',
  'reasoning',
  'function_call',
  'custom_tool_call',
  'web_search_call',
  'compaction',
])
const NEEDS_CALL_ID = new Set(['function_call', 'custom_tool_call'])

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
