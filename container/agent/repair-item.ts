import { createHash, randomUUID } from 'node:crypto'
import type { Item } from '../../shared/items.ts'
import { hasNoRemoteReference, withoutRemoteReferences } from '../../shared/remote-references.ts'
import { hasUsableId, ID_PREFIX, isSendable, isWord, MAX_ID } from '../../shared/sendable-item.ts'

export interface RepairedItem {
  /** Absent: the item is left out of the conversation. */
  item?: Item
  /** What was changed, for the user. */
  repair?: string
}

/**
 * Repairs items of answers so that they can be sent back. The service refuses an invalid history for
 * ever, so it must not contain: an item without a field its type needs, two items with the same id, a
 * call that cannot be answered, a field that our gateway does not pass on.
 */
export class ItemRepairer {
  readonly #ids: Set<string>
  readonly #callIds: Set<string>
  /** Items since the last complete answer, by id: after a broken stream an item may come again. */
  readonly #recent = new Map<string, string>()

  /** `history`: the ids already in use. */
  constructor(history: { ids: readonly string[]; callIds: readonly string[] }) {
    this.#ids = new Set(history.ids)
    this.#callIds = new Set(history.callIds)
  }

  /** The answer is complete: an equal item from now on is a new one. */
  answered(): void {
    this.#recent.clear()
  }

  repair(received: Item): RepairedItem {
    const text = JSON.stringify(received)
    if (typeof received.id === 'string' && this.#recent.get(received.id) === text) {
      return { repair: `an item that came twice is taken once: ${received.type}` }
    }
    const completed = complete(received)
    if (!completed.item) return completed
    const isRemote = !hasNoRemoteReference(completed.item)
    const item = isRemote ? withoutRemoteReferences(completed.item) : { ...completed.item }
    let {
      repair = isRemote ? `what names something elsewhere is left out: ${item.type}` : undefined,
    } = completed
    if (!hasUsableId(item) || this.#ids.has(String(item.id))) {
      if (item.id !== undefined) repair ??= `an item got an id of its own: ${item.type}`
      item.id = newId(item.type)
    }
    if (isCall(item)) {
      const problem = this.#callIdProblem(item.call_id)
      if (problem) {
        item.call_id = problem.newId
        repair = problem.repair
      }
      this.#callIds.add(String(item.call_id))
    }
    this.#ids.add(String(item.id))
    if (typeof received.id === 'string') this.#recent.set(received.id, text)
    return { item, ...(repair ? { repair } : {}) }
  }

  #callIdProblem(id: unknown): { newId: string; repair: string } | undefined {
    if (typeof id !== 'string' || id === '') {
      return { newId: newId('call'), repair: 'a tool call without an id got one' }
    }
    if (this.#callIds.has(id)) {
      return {
        newId: newId('call'),
        repair: 'a tool call with the id of an earlier one got its own',
      }
    }
    if (id.length > MAX_ID) {
      const digest = createHash('sha256').update(id).digest('hex').slice(0, 40)
      const repair = `a tool call with an id of ${id.length} characters got a shorter one`
      return { newId: `call_${digest}`, repair }
    }
    return undefined
  }
}

/** An id in the service's format: a prefix that names the type, then a unique part. */
export function newId(type: string): string {
  return `${ID_PREFIX[type] ?? type}_${randomUUID()}`
}

const isCall = ({ type }: Item) => type === 'function_call' || type === 'custom_tool_call'

/** The item with the fields that the service requires of its type; no item when that is impossible. */
function complete(item: Item): RepairedItem {
  switch (item.type) {
    case 'message':
      return withKnownParts(item)
    case 'reasoning':
    case 'compaction':
    case 'web_search_call':
      return isSendable(item) ? { item } : incomplete(item)
    case 'function_call':
      return withNameAndText(item, 'arguments')
    case 'custom_tool_call':
      return withNameAndText(item, 'input')
    default:
      return { repair: `an item of a type nobody knows is left out: ${item.type.slice(0, 64)}` }
  }
}

/** The service does not accept a message that is only a refusal; the user has seen it. */
function withKnownParts(item: Item): RepairedItem {
  const { role, content } = item
  if (role !== 'assistant' || !Array.isArray(content)) return incomplete(item)
  const known = content.filter(
    (part) =>
      (part?.type === 'output_text' && typeof part.text === 'string') ||
      (part?.type === 'refusal' && typeof part.refusal === 'string'),
  )
  if (known.length < content.length) {
    const repair = 'a part of a message that nobody knows is left out'
    return known.length === 0 ? { repair } : { item: { ...item, content: known }, repair }
  }
  if (content.length > 0 && content.every(({ type }) => type === 'refusal')) {
    return { repair: 'a message that is a refusal alone is not sent back' }
  }
  return { item }
}

function withNameAndText(item: Item, field: 'arguments' | 'input'): RepairedItem {
  const { name, [field]: text } = item
  if (typeof name !== 'string' || name === '') return incomplete(item)
  if (typeof text === 'string' && isWord(name)) return { item }
  const repaired = {
    ...item,
    name: name.replace(/[^\w-]/g, '_').slice(0, MAX_ID),
    [field]: typeof text === 'string' ? text : '',
  }
  return {
    item: repaired,
    repair: 'a tool call in a form the service would not take was put right',
  }
}

function incomplete({ type }: Item): RepairedItem {
  return { repair: `an item that is not whole is left out: ${type}` }
}
