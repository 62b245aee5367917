import type { AutorunChanges } from '../../runs/workspace-watch.ts'
import type { Findings, Found, States } from './findings.ts'
import { type Kind, kindsByWeight } from './kinds.ts'

/** The event `planted` without its type. */
export type AutorunReport = AutorunChanges & { paths: { kind: Kind }[]; kinds: { kind: Kind }[] }

/** Further files are only counted: the user has to check them anyway. */
const MAX_LISTED = 50

/** Bytes shown of the begin and of the end of a path. */
const MAX_SHOWN = 1000

/**
 * Reports files that are new or changed since `before`. Unread files are reported each time, or with `onlyNews` only
 * when new. Undefined when the report would be empty.
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

/** The report of a failed scan. */
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
  // Each kind gets at least one entry; the rest goes by severity.
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

/** The first file of each reason comes first, so that many files of one reason do not displace another. */
function eachReasonFirst(sorted: readonly Found[]): Found[] {
  const firsts = new Map(sorted.toReversed().map((found) => [reasonOf(found), found]))
  const first = new Set(firsts.values())
  return [
    ...sorted.filter((found) => first.has(found)),
    ...sorted.filter((found) => !first.has(found)),
  ]
}

/** The first words of an unread file's reason are ours; a tool may have chosen the rest, such as a link's target. */
function reasonOf({ kind, why }: Found): string {
  return kind === 'unread' ? why.split(' ', 3).join(' ') : why
}

/** Findings of the workspace as a whole come first, then shorter paths. */
function upperFirst(one: Found, other: Found): number {
  const depth = (path: string) => (path === '.' ? 0 : path.split('/').length)
  return depth(one.path) - depth(other.path) || (one.path < other.path ? -1 : 1)
}

/** Bytes as UTF-8; if invalid, non-ASCII bytes are shown as `\xff`. */
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
