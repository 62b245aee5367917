import type { Item } from '../../shared/items.ts'

/** Who and what an item is, without content and without the random part of ids made by a client. */
export interface Outline {
  type: string
  role?: string
  id?: string
  call_id?: string
}

export function outline(item: Item): Outline {
  const { type, role, id, call_id } = item as Outline
  const isOutput = type.endsWith('_output')
  const isOurs = type === 'message' && role !== 'assistant'
  return {
    type,
    ...(isOurs && role ? { role } : {}),
    ...(id && !isOurs ? { id: isOutput ? id.replace(/_.*/, '_') : id } : {}),
    ...(call_id ? { call_id } : {}),
  }
}
