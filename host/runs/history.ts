import { randomUUID } from 'node:crypto'
import type { Item } from '../../shared/items.ts'
import { hasNoRemoteReference, withoutRemoteReferences } from '../../shared/remote-references.ts'
import { hasUsableId, isSealed, isSendable, MAX_ID } from '../../shared/sendable-item.ts'
import { REFUSED_IMAGE, withoutImages } from '../../shared/without-images.ts'
import type { SessionLine } from './session-log.ts'

export interface History {
  items: Item[]
  /** The service's latest count, for an earlier part of the history. */
  countedTokens?: number
  /** Repairs and omissions that make the history valid for the service; for the user. */
  repairs: string[]
}

/**
 * The items of a session as `owner` may send them. The service refuses a history with a call without
 * an output, an output without a call, an incomplete item, a duplicate id, or an item that is encrypted
 * for another account, on every retry; the gateway refuses one with a remote reference.
 */
export function historyOf(lines: readonly SessionLine[], owner: string): History {
  const { items, foreign, countedTokens } = ownItems(lines, owner)
  const sendable = items.filter(isSendable)
  const passed = sendable.map((item) =>
    isFromAgent(item) || hasNoRemoteReference(item) ? item : withoutRemoteReferences(item),
  )
  const remote = passed.filter((item, index) => item !== sendable[index]).length
  const { open, strays, unanswerable } = unpaired(passed)
  const paired = passed
    .filter((item) => !strays.has(item) && !unanswerable.has(item))
    .flatMap((item) => (open.has(item) ? [item, lostOutput(item)] : [item]))
  const { named, nameless } = withUsableIds(paired)
  return {
    items: named,
    ...(countedTokens ? { countedTokens } : {}),
    repairs: [
      ...repair(foreign, 'reasoning items of another account or provider are not sent'),
      ...repair(items.length - sendable.length, 'items that are not whole are not sent'),
      ...repair(remote, 'items are sent without what in them names something elsewhere'),
      ...repair(unanswerable.size, 'tool calls without an id of their own are not sent'),
      ...repair(open.size, 'tool calls were cut off before their result was kept'),
      ...repair(strays.size, 'tool results without a call are not sent'),
      ...repair(nameless, 'items are sent without their id'),
    ],
  }
}

/** The workspace of the session's last item. */
export function lastWorkspace(lines: readonly SessionLine[]): string | undefined {
  const last = lines.findLast(({ type }) => type === 'item')
  return last?.type === 'item' ? runsOf(lines).get(last.runId)?.workspace : undefined
}

/** Whether the last run with an item is unfinished: it failed, was interrupted, or its process was killed. */
export function isUnfinished(lines: readonly SessionLine[]): boolean {
  const done = lines.findLastIndex((line) => line.type === 'finished' && line.status === 'done')
  return lines.slice(done + 1).some(({ type }) => type === 'item')
}

const repair = (count: number, what: string) => (count > 0 ? [`${count} ${what}`] : [])

/** An output belongs to the preceding call with its type and call id. */
function unpaired(items: readonly Item[]) {
  const calls = new Map<unknown, Item>()
  const open = new Set<Item>()
  const strays = new Set<Item>()
  const unanswerable = new Set<Item>()
  for (const item of items) {
    const { call_id: id } = item
    if (isCall(item)) {
      if (typeof id !== 'string' || id === '' || id.length > MAX_ID || calls.has(id)) {
        unanswerable.add(item)
      } else {
        calls.set(id, item)
        open.add(item)
      }
    }
    if (!isOutput(item)) continue
    const call = calls.get(id)
    if (call && item.type === `${call.type}_output` && open.delete(call)) continue
    strays.add(item)
  }
  return { open, strays, unanswerable }
}

/** Ids are optional: an id that the service would refuse is removed from its item. */
function withUsableIds(items: readonly Item[]) {
  const taken = new Set<unknown>()
  let nameless = 0
  const named = items.map((item) => {
    if (item.id === undefined) return item
    if (hasUsableId(item) && !taken.has(item.id)) {
      taken.add(item.id)
      return item
    }
    nameless++
    const { id: _, ...rest } = item
    return rest as Item
  })
  return { named, nameless }
}

/** Encrypted items are readable only for the account they were made for. */
function ownItems(lines: readonly SessionLine[], owner: string) {
  const runs = runsOf(lines)
  let items: Item[] = []
  let foreign = 0
  let countedTokens: number | undefined
  let workspace: string | undefined
  const workIn = (next: string | undefined) => {
    if (workspace !== undefined && next !== workspace) items.push(MOVED)
    workspace = next
  }
  for (const line of lines) {
    if (line.type === 'session' || line.type === 'run') continue
    const run = runs.get(line.runId)
    const isOwn = run?.owner === owner
    const isReadable = (item: Item) => isOwn || !isSealed(item)
    switch (line.type) {
      case 'item':
        workIn(run?.workspace)
        if (isReadable(line.item)) items.push(line.item)
        else foreign++
        break
      case 'counted':
        countedTokens = line.tokens
        break
      case 'compacted':
        countedTokens = undefined
        // For another account's compaction the original items are still here, and readable.
        if (isOwn || !line.items.some(({ type }) => type === 'compaction')) {
          items = line.items.filter(isReadable)
          foreign += line.items.length - items.length
        }
        break
      case 'reasoning-dropped':
        items = items.filter(({ type }) => type !== 'reasoning')
        break
      case 'images-dropped':
        items = items.map((item) => withoutImages(item, REFUSED_IMAGE).item)
        break
    }
  }
  workIn([...runs.values()].at(-1)?.workspace)
  return { items, foreign, countedTokens }
}

/** The model's knowledge of files is about another folder, which may have files of the same names. */
const MOVED: Item = {
  type: 'message',
  role: 'developer',
  content: [
    {
      type: 'input_text',
      text:
        'The conversation goes on in another folder: the working directory is not the one of the messages and ' +
        'calls above. What they say about files may be untrue here; look again before you rely on it.',
    },
  ],
}

type RunLine = Extract<SessionLine, { type: 'run' }>

const runsOf = (lines: readonly SessionLine[]) =>
  new Map(
    lines.flatMap((line): [string, RunLine][] => (line.type === 'run' ? [[line.runId, line]] : [])),
  )

/** Whether the item calls a tool of the agent. */
export const isCall = (item: Item) =>
  item.type === 'function_call' || item.type === 'custom_tool_call'
const isOutput = (item: Item) =>
  item.type === 'function_call_output' || item.type === 'custom_tool_call_output'

/** Images in the agent's own items are not remote references. */
const isFromAgent = (item: Item) =>
  isOutput(item) || (item.type === 'message' && item.role !== 'assistant')

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
