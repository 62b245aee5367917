import { visibleName } from '../../../shared/visible-text.ts'
import type { AutorunChanges } from '../../runs/workspace-watch.ts'
import { KINDS, type Kind } from '../autorun/kinds.ts'

/** Names that a line has room for. */
const MAX_NAMES = 4

/** What is said to a person. */
export interface AutorunLines {
  /** A line a kind, in the order of the report, which is by weight. */
  changed: string[]
  /** What was not read to its end, with the reasons; absent where all was. */
  unread?: string
}

export function autorunLines({ paths, kinds }: AutorunChanges): AutorunLines {
  const namesOf = (kind: string, count: number) => {
    const named = paths.filter((path) => path.kind === kind).slice(0, MAX_NAMES)
    const names = named.map(({ path, why }) => {
      const reason = kind === 'unread' ? ` (${visibleName(why, 160)})` : ''
      return `${visibleName(path, 60)}${reason}`
    })
    return `${names.join(', ')}${count > named.length ? ` and ${count - named.length} more` : ''}`
  }
  const unread = kinds.find(({ kind }) => kind === 'unread')
  return {
    changed: kinds
      .filter((each) => each !== unread)
      .map(({ kind, count }) => `${namesOf(kind, count)}: ${KINDS[kind as Kind] ?? kind}`),
    ...(unread ? { unread: namesOf('unread', unread.count) } : {}),
  }
}
