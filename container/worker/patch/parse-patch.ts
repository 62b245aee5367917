import { ToolError } from '../tool.ts'
import { heredocText } from './patch-in-command.ts'

/** The change of one file. */
export type FileChange =
  | { type: 'add'; path: string; content: string }
  | { type: 'delete'; path: string }
  | { type: 'update'; path: string; moveTo: string | undefined; sections: Section[] }

/** One place of a file that is changed. */
export interface Section {
  /** Lines above it, each after the one before. */
  anchors: string[]
  lines: ChangeLine[]
  /** Whether the file ends with it. */
  atEnd: boolean
}

/** A line of context, removed, or added. */
export interface ChangeLine {
  kind: ' ' | '-' | '+'
  text: string
}

/** The grammar of `parsePatch`, in the notation of Lark. */
export const PATCH_GRAMMAR = `start: begin file+ end
begin: "*** Begin Patch" LF
end: "*** End Patch" LF?

file: added | deleted | updated
added: "*** Add File: " path LF new_line+
deleted: "*** Delete File: " path LF
updated: "*** Update File: " path LF moved? changes?
moved: "*** Move to: " path LF
path: /.+/

changes: (anchor | changed_line)+ at_end?
anchor: /@@( .+)?/ LF
changed_line: /[-+ ].*/ LF
at_end: "*** End of File" LF
new_line: /[+].*/ LF

%import common.LF
`

/** @throws ToolError for a text that is no patch; the message names the line. */
export function parsePatch(patch: string): FileChange[] {
  return new Parser(patch).parse()
}

class Parser {
  readonly #lines: string[]
  #next = 0

  constructor(text: string) {
    const patch = heredocText(text) ?? text
    // CRLF only when the patch's first line ends so: elsewhere a \r belongs to its line.
    const newline = /^\s*\*\*\* Begin Patch\r\n/.test(patch) ? '\r\n' : '\n'
    this.#lines = patch.trim().split(newline)
  }

  parse(): FileChange[] {
    if (this.#take()?.trim() !== '*** Begin Patch') throw this.#wrong('*** Begin Patch')
    const changes: FileChange[] = []
    while (this.#peek() !== '*** End Patch') {
      if (this.#peek() === '') this.#next++
      else changes.push(this.#file())
    }
    this.#next++
    if (this.#peek() !== undefined) throw new ToolError('There is text after *** End Patch.')
    if (changes.length === 0) throw new ToolError('The patch changes no file.')
    return changes
  }

  #file(): FileChange {
    const added = this.#header('*** Add File: ')
    if (added !== undefined) return { type: 'add', path: added, content: this.#newLines() }
    const deleted = this.#header('*** Delete File: ')
    if (deleted !== undefined) return { type: 'delete', path: deleted }
    const updated = this.#header('*** Update File: ')
    if (updated !== undefined) return this.#update(updated)
    this.#next++
    throw this.#wrong('*** Add File:, *** Delete File:, *** Update File: or *** End Patch')
  }

  #newLines(): string {
    let content = ''
    while (this.#peek()?.startsWith('+')) content += `${this.#take()?.slice(1)}\n`
    return content
  }

  #update(path: string): FileChange {
    const moveTo = this.#header('*** Move to: ')
    const sections: Section[] = []
    for (let section = this.#section(); section; section = this.#section()) sections.push(section)
    if (sections.length === 0 && moveTo === undefined) {
      throw new ToolError(`The patch updates ${path} but changes nothing in it.`)
    }
    return { type: 'update', path, moveTo, sections }
  }

  /** Undefined after the last section. */
  #section(): Section | undefined {
    const section: Section = { anchors: [], lines: [], atEnd: false }
    for (let line = this.#peek(); isAnchor(line); line = this.#peek()) {
      if (line !== '@@') section.anchors.push(line.slice(3))
      this.#next++
    }
    section.lines = this.#changeLines()
    const isThere = section.lines.length > 0
    if (isThere && this.#peek()?.trimEnd() === '*** End of File') {
      section.atEnd = true
      this.#next++
    }
    if (!isThere && section.anchors.length > 0) throw this.#wrong('a line with +, - or a space')
    return isThere ? section : undefined
  }

  #changeLines(): ChangeLine[] {
    const lines: ChangeLine[] = []
    let gap = 0
    for (let line = this.#peek(); line !== undefined; line = this.#peek()) {
      const changed = changeLine(line)
      if (!changed) break
      lines.push(changed)
      gap = line === '' ? gap + 1 : 0
      this.#next++
    }
    // After added lines alone, empty lines are no context but the gap before the next header.
    const body = lines.slice(0, lines.length - gap)
    return body.every(({ kind }) => kind === '+') ? body : lines
  }

  /** The text after `marker`, if the next line starts with it. */
  #header(marker: string): string | undefined {
    const line = this.#peek()
    if (!line?.startsWith(marker)) return undefined
    this.#next++
    const path = line.slice(marker.length).trim()
    if (path === '') throw this.#wrong(`a path after ${marker.trim()}`)
    return path
  }

  #peek(): string | undefined {
    return this.#lines[this.#next]
  }

  #take(): string | undefined {
    return this.#lines[this.#next++]
  }

  /** The error about the line taken last. */
  #wrong(expected: string): ToolError {
    const line = this.#lines[this.#next - 1]
    const found = line === undefined ? 'the end of the patch' : JSON.stringify(line.slice(0, 200))
    return new ToolError(`Line ${this.#next} of the patch is ${found}; expected ${expected}.`)
  }
}

function isAnchor(line: string | undefined): line is string {
  return line === '@@' || line?.startsWith('@@ ') === true
}

/** Undefined for any other line. */
function changeLine(line: string): ChangeLine | undefined {
  // Models leave out the space of an empty line.
  if (line === '') return { kind: ' ', text: '' }
  const kind = line[0]
  return kind === ' ' || kind === '-' || kind === '+' ? { kind, text: line.slice(1) } : undefined
}
