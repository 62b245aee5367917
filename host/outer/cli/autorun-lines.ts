import { visibleName } from '../../../shared/visible-text.ts'
import type { AutorunChanges } from '../../runs/workspace-watch.ts'
import { KINDS, type Kind } from '../autorun/kinds.ts'

/** Names shown in one line. */
const MAX_NAMES = 4

/** The findings as text for the user. */
export interface AutorunLines {
  /** One line for each kind, in the order of the report: by severity. */
  changed: string[]
  /** Files that were not read completely, with the reasons; absent when there are none. */
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
      .filter((entry) => entry !== unread)
      .map(({ kind, count }) => `${namesOf(kind, count)}: ${KINDS[kind as Kind] ?? kind}`),
    ...(unread ? { unread: namesOf('unread', unread.count) } : {}),
  }
}
