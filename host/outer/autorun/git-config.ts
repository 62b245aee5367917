/** A key with its section: `section.key` or `section.sub section.key`; lower case except the subsection. */
export interface Pair {
  key: string
  value: string
}

export interface GitConfig {
  pairs: Pair[]
  /** Whether git would reject the config, or a section name is too long. `pairs` holds the entries before that. */
  isBroken: boolean
}

/**
 * Reads a git config, by the grammar of git-config(1) and by git's observed behaviour. `bytes` has one character a
 * byte (latin1). Takes linear time.
 */
export function gitConfigPairs(bytes: string): GitConfig {
  const reader = new Reader(bytes)
  const isBroken = !reader.readAll()
  return { pairs: reader.pairs, isBroken }
}

/** Whether the entry includes another config, perhaps under a condition. */
export const isInclude = ({ key }: Pair) => /^include(if\..*)?\.path$/s.test(key)

const END = ''

/** The section name is copied into each key: a long one would take quadratic time. */
const MAX_SECTION = 4096

class Reader {
  readonly pairs: Pair[] = []
  readonly #bytes: string
  #at: number
  /** With a trailing dot. */
  #section = ''

  constructor(bytes: string) {
    this.#bytes = bytes
    // A byte order mark in UTF-8.
    this.#at = bytes.startsWith('\xef\xbb\xbf') ? 3 : 0
  }

  /** False when git would reject the config. */
  readAll(): boolean {
    for (let char = this.#next(); char !== END; char = this.#next()) {
      if (isSpace(char)) continue
      if (char === '#' || char === ';') this.#skipLine()
      else if (char === '[') {
        if (!this.#readSection()) return false
      } else if (!isLetter(char) || !this.#readPair(char)) return false
    }
    return true
  }

  /** Reads CRLF as LF. */
  #next(): string {
    const char = this.#bytes[this.#at++] ?? END
    if (char !== '\r' || this.#bytes[this.#at] !== '\n') return char
    this.#at++
    return '\n'
  }

  #skipLine(): void {
    const end = this.#bytes.indexOf('\n', this.#at)
    this.#at = end < 0 ? this.#bytes.length : end + 1
  }

  #readSection(): boolean {
    let name = ''
    for (let char = this.#next(); ; char = this.#next()) {
      if (char === END) return false
      if (char === ']') break
      if (isSpace(char)) {
        const sub = this.#readSubSection(char)
        if (sub === undefined) return false
        name += `.${sub}`
        break
      }
      if (!isKeyChar(char) && char !== '.') return false
      name += char.toLowerCase()
    }
    this.#section = `${name}.`
    return name !== '' && name.length <= MAX_SECTION
  }

  #readSubSection(space: string): string | undefined {
    let char = space
    while (isSpace(char)) {
      if (char === '\n') return undefined
      char = this.#next()
    }
    if (char !== '"') return undefined
    let name = ''
    for (char = this.#next(); char !== '"'; char = this.#next()) {
      if (char === '\\') char = this.#next()
      if (char === '\n' || char === END) return undefined
      name += char
    }
    return this.#next() === ']' ? name : undefined
  }

  #readPair(first: string): boolean {
    let name = first
    let char = this.#next()
    for (; isKeyChar(char); char = this.#next()) name += char
    while (char === ' ' || char === '\t') char = this.#next()
    const hasValue = char === '='
    if (!hasValue && char !== '\n' && char !== END) return false
    const value = hasValue ? this.#readValue() : ''
    if (value === undefined) return false
    // Git treats keys and values as C strings.
    const [key = ''] = `${this.#section}${name.toLowerCase()}`.split('\0', 1)
    this.pairs.push({ key, value: value.split('\0', 1)[0] ?? '' })
    return true
  }

  #readValue(): string | undefined {
    let value = ''
    let spaces = 0
    let isQuoted = false
    for (;;) {
      let char = this.#next()
      if (char === '\n' || char === END) return isQuoted ? undefined : value
      if (!isQuoted && isSpace(char)) {
        if (value !== '') spaces++
        continue
      }
      if (!isQuoted && (char === ';' || char === '#')) {
        this.#skipLine()
        return value
      }
      value += ' '.repeat(spaces)
      spaces = 0
      if (char === '"') {
        isQuoted = !isQuoted
        continue
      }
      if (char === '\\') {
        char = this.#next()
        // A line continuation.
        if (char === '\n' || char === END) continue
        const meant = ESCAPES[char]
        if (meant === undefined) return undefined
        char = meant
      }
      value += char
    }
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  t: '\t',
  b: '\b',
  n: '\n',
  '\\': '\\',
  '"': '"',
}

const isSpace = (char: string) => char === ' ' || char === '\t' || char === '\n' || char === '\r'
const isLetter = (char: string) => /^[A-Za-z]$/.test(char)
const isKeyChar = (char: string) => /^[A-Za-z0-9-]$/.test(char)
