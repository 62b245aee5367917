import { randomUUID } from 'node:crypto'
import type { Item } from '../../shared/items.ts'
import type { SessionLine } from './session-log.ts'

export interface History {
  items: Item[]
  /** What the service counted for an earlier part of it, the last time it did. */
  countedTokens?: number
  /** What had to be mended or left out so that the service takes it; for the user. */
  repairs: string[]
}

/**
 * The items of a session as `owner` may send them. The service refuses a history with a call that
 * has no output, an output that has no call, or reasoning that was sealed for another account, and
 * would go on refusing it for ever.
 */
export function historyOf(lines: readonly SessionLine[], owner: string): History {
  const { items, foreign, countedTokens } = ownItems(lines, owner)
  const { open, strays } = unpaired(items)
  return {
    items: items
      .filter((item) => !strays.has(item))
      .flatMap((item) => (open.has(item) ? [item, lostOutput(item)] : [item])),
    ...(countedTokens ? { countedTokens } : {}),
    repairs: [
      ...(foreign > 0
        ? [`${foreign} reasoning items of another account or provider are not sent`]
        : []),
      ...(open.size > 0
        ? [`${open.size} tool calls were cut off before their result was kept`]
        : []),
      ...(strays.size > 0 ? [`${strays.size} tool results without a call are not sent`] : []),
    ],
  }
}

/** An output answers the first call before it of its kind and id that has none yet. */
function unpaired(items: readonly Item[]) {
  const open = new Set<Item>()
  const strays = new Set<Item>()
  for (const item of items) {
    if (isCall(item)) open.add(item)
    if (!isOutput(item)) continue
    const call = [...open].find((candidate) => isAnswer(item, candidate))
    if (call) open.delete(call)
    else strays.add(item)
  }
  return { open, strays }
}

/** What is sealed can only be read by the account it was made for. */
function ownItems(lines: readonly SessionLine[], owner: string) {
  const owners = new Map<string, string>()
  let items: Item[] = []
  let foreign = 0
  let countedTokens: number | undefined
  for (const line of lines) {
    if (line.type === 'run') owners.set(line.runId, line.owner)
    if (line.type === 'session' || line.type === 'run') continue
    const isOwn = owners.get(line.runId) === owner
    switch (line.type) {
      case 'item':
        if (line.item.type === 'reasoning' && !isOwn) foreign++
        else items.push(line.item)
        break
      case 'counted':
        countedTokens = line.tokens
        break
      case 'compacted':
        countedTokens = undefined
        // Of another account's the whole of what was compacted is still here, and can be read.
        if (isOwn || !line.items.some(({ type }) => type === 'compaction')) items = [...line.items]
        break
      case 'reasoning-dropped':
        items = items.filter(({ type }) => type !== 'reasoning')
        break
    }
  }
  return { items, foreign, countedTokens }
}

/** Whether it is for a tool of ours. */
export const isCall = (item: Item) =>
  item.type === 'function_call' || item.type === 'custom_tool_call'
const isOutput = (item: Item) =>
  item.type === 'function_call_output' || item.type === 'custom_tool_call_output'
const isAnswer = (output: Item, call: Item) =>
  output.type === `${call.type}_output` && output.call_id === call.call_id

function lostOutput(call: Item): Item {
  const isFunction = call.type === 'function_call'
  return {
    type: isFunction ? 'function_call_output' : 'custom_tool_call_output',
    id: `${isFunction ? 'fco' : 'ctco'}_${randomUUID()}`,
    call_id: call.call_id,
    output:
      'error: the run was cut off; whether this was carried out, wholly or in part, is not known',
  }
}
