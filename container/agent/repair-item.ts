import { createHash, randomUUID } from 'node:crypto'
import type { Item } from '../../shared/items.ts'
import { hasNoRemoteReference, withoutRemoteReferences } from '../../shared/remote-references.ts'
import { hasUsableId, ID_PREFIX, isSendable, isWord, MAX_ID } from '../../shared/sendable-item.ts'

export interface RepairedItem {
  /** Absent: it is left out of the conversation. */
  item?: Item
  /** What was changed, for the user. */
  repair?: string
}

/**
 * Makes items of answers such that they can be sent back. A history that the service refuses once it
 * refuses for ever, so nothing gets in that it would not take: an item without what its type needs,
 * two with the same id, a call that cannot be answered, what our gateway does not pass on.
 */
export class ItemRepairer {
  readonly #ids: Set<string>
  readonly #callIds: Set<string>
  /** What came since the last whole answer, by id: a broken stream may bring an item again. */
  readonly #recent = new Map<string, string>()

  /** The ids are those that the history has already. */
  constructor(history: { ids: readonly string[]; callIds: readonly string[] }) {
    this.#ids = new Set(history.ids)
    this.#callIds = new Set(history.callIds)
  }

  /** The answer is whole: an item that comes from now on is another one. */
  answered(): void {
    this.#recent.clear()
  }

  repair(given: Item): RepairedItem {
    const text = JSON.stringify(given)
    if (typeof given.id === 'string' && this.#recent.get(given.id) === text) {
      return { repair: `an item that came twice is taken once: ${given.type}` }
    }
    const needed = complete(given)
    if (!needed.item) return needed
    const leads = !hasNoRemoteReference(needed.item)
    const item = leads ? withoutRemoteReferences(needed.item) : { ...needed.item }
    let {
      repair = leads ? `what names something elsewhere is left out: ${item.type}` : undefined,
    } = needed
    if (!hasUsableId(item) || this.#ids.has(String(item.id))) {
      if (item.id !== undefined) repair ??= `an item got an id of its own: ${item.type}`
      item.id = newId(item.type)
    }
    if (isCall(item)) {
      const problem = this.#callIdProblem(item.call_id)
      if (problem) {
        item.call_id = problem.better
        repair = problem.repair
      }
      this.#callIds.add(String(item.call_id))
    }
    this.#ids.add(String(item.id))
    if (typeof given.id === 'string') this.#recent.set(given.id, text)
    return { item, ...(repair ? { repair } : {}) }
  }

  #callIdProblem(id: unknown): { better: string; repair: string } | undefined {
    if (typeof id !== 'string' || id === '') {
      return { better: newId('call'), repair: 'a tool call without an id got one' }
    }
    if (this.#callIds.has(id)) {
      return {
        better: newId('call'),
        repair: 'a tool call with the id of an earlier one got its own',
      }
    }
    if (id.length > MAX_ID) {
      const digest = createHash('sha256').update(id).digest('hex').slice(0, 40)
      const repair = `a tool call with an id of ${id.length} characters got a shorter one`
      return { better: `call_${digest}`, repair }
    }
    return undefined
  }
}

/** An id as the service makes them: a prefix that names the type, then something unique. */
export function newId(type: string): string {
  return `${ID_PREFIX[type] ?? type}_${randomUUID()}`
}

const isCall = ({ type }: Item) => type === 'function_call' || type === 'custom_tool_call'

/** The item with what the service wants of its type; without an item where that cannot be had. */
function complete(item: Item): RepairedItem {
  switch (item.type) {
    case 'message':
      return withKnownParts(item)
    case 'reasoning':
    case 'compaction':
    case 'web_search_call':
      return isSendable(item) ? { item } : notWhole(item)
    case 'function_call':
      return withNameAndText(item, 'arguments')
    case 'custom_tool_call':
      return withNameAndText(item, 'input')
    default:
      return { repair: `an item of a type nobody knows is left out: ${item.type.slice(0, 64)}` }
  }
}

/** A message that holds nothing but a refusal is not taken back by the service; it has been shown. */
function withKnownParts(item: Item): RepairedItem {
  const { role, content } = item
  if (role !== 'assistant' || !Array.isArray(content)) return notWhole(item)
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
  if (typeof name !== 'string' || name === '') return notWhole(item)
  if (typeof text === 'string' && isWord(name)) return { item }
  const mended = {
    ...item,
    name: name.replace(/[^\w-]/g, '_').slice(0, MAX_ID),
    [field]: typeof text === 'string' ? text : '',
  }
  return { item: mended, repair: 'a tool call in a form the service would not take was put right' }
}

function notWhole({ type }: Item): RepairedItem {
  return { repair: `an item that is not whole is left out: ${type}` }
}
