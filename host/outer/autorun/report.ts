import type { AutorunChanges } from '../../runs/workspace-watch.ts'
import type { Findings, Found, States } from './findings.ts'
import { type Kind, kindsByWeight } from './kinds.ts'

/** The event `planted` without its type. */
export type AutorunReport = AutorunChanges & { paths: { kind: Kind }[]; kinds: { kind: Kind }[] }

/** More are counted only: whoever reads it has to look anyway. */
const MAX_LISTED = 50

/** Bytes of a path that are shown, of its beginning and of its end. */
const MAX_SHOWN = 1000

/**
 * What is new or different since `before`. What was not read is said each time, unless only news are wanted. Undefined
 * when there is nothing to say.
 */
export function reportOf(
  before: States,
  findings: Findings,
  { onlyNews = false }: { onlyNews?: boolean } = {},
): AutorunReport | undefined {
  const now = findings.states
  const changed = [...findings.found]
    .filter(([key]) => before[key] !== now[key])
    .map(([, found]) => found)
  const unread = [...findings.unread]
    .filter(([path, why]) => !onlyNews || before[`unread ${path}`] !== why)
    .map(([path, why]): Found => ({ kind: 'unread', path, why }))
  return byWeight([...changed, ...unread])
}

/** A look that has come to nothing is a report as well. */
export const unreadReport = (why: string): AutorunReport => ({
  paths: [{ path: '.', why, kind: 'unread' }],
  kinds: [{ kind: 'unread', count: 1 }],
  more: 0,
})

function byWeight(all: readonly Found[]): AutorunReport | undefined {
  if (all.length === 0) return undefined
  const groups = kindsByWeight
    .map((kind) => eachReasonFirst(all.filter((found) => found.kind === kind).sort(upperFirst)))
    .filter((group) => group.length > 0)
  // Each kind has one, however many there are of the others; the rest goes by weight.
  let room = MAX_LISTED - groups.length
  const listed = groups.flatMap((group) => {
    const taken = group.slice(0, 1 + room)
    room -= taken.length - 1
    return taken
  })
  return {
    paths: listed.map(({ path, why, kind }) => ({ path: shownName(path), why, kind })),
    kinds: groups.map((group) => ({ kind: group[0]?.kind ?? 'unread', count: group.length })),
    more: all.length - listed.length,
  }
}

/** Many files of one reason must not push away the one of another. */
function eachReasonFirst(sorted: readonly Found[]): Found[] {
  const firsts = new Map(sorted.toReversed().map((found) => [reasonOf(found), found]))
  const first = new Set(firsts.values())
  return [
    ...sorted.filter((found) => first.has(found)),
    ...sorted.filter((found) => !first.has(found)),
  ]
}

/** What follows the first words of why something is unread may be of its own making, such as where it leads. */
function reasonOf({ kind, why }: Found): string {
  return kind === 'unread' ? why.split(' ', 3).join(' ') : why
}

/** What is said of the workspace as a whole goes before all. */
function upperFirst(one: Found, other: Found): number {
  const depth = (path: string) => (path === '.' ? 0 : path.split('/').length)
  return depth(one.path) - depth(other.path) || (one.path < other.path ? -1 : 1)
}

/** Bytes as text; those that are none as `\xff`. */
export function shownName(bytes: string): string {
  const tooLong = bytes.length > MAX_SHOWN * 2
  const cut = tooLong ? `${bytes.slice(0, MAX_SHOWN)}...${bytes.slice(-MAX_SHOWN)}` : bytes
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
      Buffer.from(cut, 'latin1'),
    )
  } catch {
    return cut.replace(/[\x80-\xff]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`)
  }
}
