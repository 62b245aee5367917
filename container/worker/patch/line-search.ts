import { ToolError } from '../tool.ts'

/** Some seconds; a patch that repeats one line ten thousand times could take hours. */
const MAX_COMPARISONS = 50_000_000

/** How lines may differ and still match, in the order of the attempts. */
const READINGS: readonly ((lines: readonly string[]) => readonly string[])[] = [
  (lines) => lines,
  (lines) => lines.map((line) => line.trimEnd()),
  (lines) => lines.map((line) => line.trim()),
  (lines) => withPlainPunctuation(lines).map((line) => line.trim()),
]

/** Finds runs of lines in a file. */
export class LineSearch {
  /** The file in each reading, made on first use. */
  readonly #read: (readonly string[])[]
  readonly length: number
  #comparisons = 0

  constructor(lines: readonly string[]) {
    this.#read = [lines]
    this.length = lines.length
  }

  /** The first match of `pattern` at or after `from`, in the strictest reading that has one. */
  find(pattern: readonly string[], from: number): number | undefined {
    return this.#search(pattern, from, this.length - pattern.length)
  }

  /** The same, for a match at the end of the file. */
  findAtEnd(pattern: readonly string[], from: number): number | undefined {
    const start = this.length - pattern.length
    return this.#search(pattern, Math.max(from, start), start)
  }

  #search(pattern: readonly string[], first: number, last: number): number | undefined {
    for (const [index, reading] of READINGS.entries()) {
      this.#read[index] ??= reading(this.#read[0] ?? [])
      const lines = this.#read[index]
      const wanted = reading(pattern)
      for (let start = first; start <= last; start++) {
        if (this.#isAt(start, lines, wanted)) return start
      }
    }
    return undefined
  }

  #isAt(start: number, lines: readonly string[], wanted: readonly string[]): boolean {
    for (let offset = 0; offset < wanted.length; offset++) {
      if (++this.#comparisons > MAX_COMPARISONS) {
        throw new ToolError(
          'The patch takes too long to place in this file; make smaller ones, with longer context.',
        )
      }
      if (lines[start + offset] !== wanted[offset]) return false
    }
    return true
  }
}

/** Models write plain punctuation where a file has typographic. The lines are joined: one by one is slow. */
function withPlainPunctuation(lines: readonly string[]): string[] {
  return lines
    .join('\n')
    .replace(/[\u2010-\u2015\u2212]/g, '-')
    .replace(/[\u2018-\u201B]/g, "'")
    .replace(/[\u201C-\u201F]/g, '"')
    .replace(/[\u00A0\u2002-\u200A\u202F\u205F\u3000]/g, ' ')
    .split('\n')
}
