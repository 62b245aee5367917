import { visibleName } from '../../shared/visible-text.ts'
import { KINDS, type Kind } from '../autorun/kinds.ts'
import type { Planted } from '../runs/workspace-watch.ts'

/** Names that a line has room for. */
const MAX_NAMES = 4

/** What is said to a person: a line a kind, in the order of the report, which is by weight. */
export function plantedLines({ paths, kinds }: Planted): string[] {
  return kinds.map(({ kind, count }) => {
    const named = paths.filter((path) => path.kind === kind).slice(0, MAX_NAMES)
    const names = named.map(({ path, why }) => {
      const reason = kind === 'unread' ? ` (${visibleName(why, 160)})` : ''
      return `${visibleName(path, 60)}${reason}`
    })
    const more = count > named.length ? ` and ${count - named.length} more` : ''
    return `${names.join(', ')}${more}: ${KINDS[kind as Kind] ?? kind}`
  })
}
