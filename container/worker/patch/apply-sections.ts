import { ToolError } from '../tool.ts'
import { LineSearch } from './line-search.ts'
import type { ChangeLine, Section } from './parse-patch.ts'

/**
 * `text` with the sections changed, each searched after the one before. Context lines stay as they are
 * in `text`, even if they only match when blanks are ignored; so do its line ends (CRLF), a byte order
 * mark, and a last line without an end.
 * @throws ToolError when a section does not match; the message calls the file `path`.
 */
export function applySections(text: string, sections: readonly Section[], path: string): string {
  const mark = text.startsWith(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK : ''
  const lines = text.slice(mark.length).split(/(?<=\n)/)
  if (lines[0] === '') lines.pop()
  const search = new LineSearch(lines.map(withoutEnd))
  const end = lines[0]?.endsWith('\r\n') ? '\r\n' : '\n'
  const lacksLastEnd = lines.length > 0 && !lines.at(-1)?.endsWith('\n')
  if (lacksLastEnd) lines[lines.length - 1] += end

  const result: string[] = []
  let next = 0
  const copyUntil = (index: number) => {
    for (; next < index; next++) result.push(lines[next] ?? '')
  }
  for (const section of sections) {
    const { start, changes } = locate(section, search, next, path)
    copyUntil(start)
    for (const { kind, text } of changes) {
      if (kind === '+') result.push(withEnd(text, end))
      else if (kind === ' ') copyUntil(next + 1)
      else next++
    }
  }
  copyUntil(lines.length)
  const changed = result.join('')
  return mark + (lacksLastEnd ? withoutEnd(changed) : changed)
}

const BYTE_ORDER_MARK = '\uFEFF'

/** Where `section` starts, and its lines, without a superfluous empty last line. */
function locate(
  { anchors, lines, atEnd }: Section,
  search: LineSearch,
  from: number,
  path: string,
): { start: number; changes: readonly ChangeLine[] } {
  let start = from
  for (const anchor of anchors) {
    const match = search.find([anchor], start)
    if (match === undefined) {
      throw new ToolError(`Failed to find context '${anchor}' in ${path}`)
    }
    start = match + 1
  }
  const old = lines.filter(({ kind }) => kind !== '+').map(({ text }) => text)
  if (old.length === 0) {
    // Without an anchor there is no position: the lines go to the end.
    const isAnchored = anchors.length > 0 && !atEnd
    return { start: isAnchored ? start : search.length, changes: lines }
  }
  const find = atEnd
    ? (pattern: readonly string[]) => search.findAtEnd(pattern, start)
    : (pattern: readonly string[]) => search.find(pattern, start)
  const match = find(old)
  if (match !== undefined) return { start: match, changes: lines }
  const last = lines.at(-1)
  if (old.length > 1 && last?.kind !== '+' && last?.text === '') {
    const withoutLast = find(old.slice(0, -1))
    if (withoutLast !== undefined) return { start: withoutLast, changes: lines.slice(0, -1) }
  }
  throw new ToolError(`Failed to find expected lines in ${path}:\n${old.join('\n')}`)
}

function withoutEnd(line: string): string {
  if (line.endsWith('\r\n')) return line.slice(0, -2)
  return line.endsWith('\n') ? line.slice(0, -1) : line
}

function withEnd(line: string, end: string): string {
  return (end === '\r\n' && line.endsWith('\r') ? line.slice(0, -1) : line) + end
}
