/** Replaces secrets in a text, and truncates it to `most` characters. */
export type Mask = (text: string, most?: number) => string

export const MASK = '<masked>'

/**
 * Masks `secrets` in plain text and in the encodings of programs: base64 at any offset of a longer text, hex,
 * percent-encoding, JSON escapes, and all of these across lines; also any text that looks like a secret.
 * Runs in linear time: the text may come from a container.
 */
export function maskOf(secrets: readonly (string | undefined)[]): Mask {
  const values = secrets.filter((secret): secret is string => Boolean(secret))
  const forms = values.flatMap(formsOf)
  // A secret cut in half would not be recognised.
  const beyond = Math.max(MAX_WORD, ...values.map(({ length }) => length * MAX_WIDTH))
  return (text, most = text.length) => {
    const scanned = text.slice(0, most + beyond)
    const { plain, rangeOf } = decoded(scanned)
    const ranges = [
      // The raw text as well: the characters before a secret may look like a part of an escape.
      ...[...values, ...forms].flatMap((form) => placesOf(form, scanned)),
      ...forms.flatMap((form) => placesOf(form, plain).map(rangeOf)),
      ...lookalikes(scanned),
    ]
    return replaced(scanned, ranges, most)
  }
}

type Range = [start: number, end: number]

function placesOf(needle: string, text: string): Range[] {
  const places: Range[] = []
  for (let at = text.indexOf(needle); at >= 0; at = text.indexOf(needle, at + needle.length)) {
    places.push([at, at + needle.length])
  }
  return places
}

function replaced(text: string, ranges: Range[], most: number): string {
  let end = 0
  let result = ''
  for (const [from, to] of ranges.toSorted(([a], [b]) => a - b)) {
    if (from >= most) break
    if (from >= end) result += text.slice(end, from) + MASK
    end = Math.max(end, to)
  }
  return result + text.slice(end, Math.max(end, most))
}

// ---- known secrets ----

/** A shorter value would match unrelated text. */
const MIN_ENCODED = 8

/** The forms of a secret in a single-line text without escapes. */
function formsOf(secret: string): string[] {
  if (secret.length < MIN_ENCODED) return []
  const hex = Buffer.from(secret).toString('hex')
  const base64 = [0, 1, 2].map((before) => base64Of(secret, before))
  const base64url = base64.map((form) => form.replaceAll('+', '-').replaceAll('/', '_'))
  return [...new Set([secret, hex, hex.toUpperCase(), ...base64, ...base64url])]
}

/** The characters of its base64 that do not depend on the text around it, after `before` bytes. */
function base64Of(secret: string, before: number): string {
  const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(secret)])
  const [start, end] = [Math.ceil((before * 8) / 6), Math.floor((bytes.length * 8) / 6)]
  return bytes.toString('base64').slice(start, end)
}

// ---- encodings ----

/** The width of one escaped character. */
const MAX_WIDTH = 16

/** A text as one line with its escapes decoded; `rangeOf` maps a range back to the original. */
function decoded(text: string): { plain: string; rangeOf: (place: Range) => Range } {
  // The plain characters from `at[n]` to `at[n + 1]` come from `from[n]` to `to[n]`: as many, or one escape.
  const [at, from, to]: [number[], number[], number[]] = [[], [], []]
  const pieces: string[] = []
  let length = 0
  const add = (piece: string, start: number, end: number) => {
    if (piece === '') return
    at.push(length)
    from.push(start)
    to.push(end)
    pieces.push(piece)
    length += piece.length
  }
  let end = 0
  for (let start = 0; start < text.length; start++) {
    const sequence = escapeAt(text, start)
    if (!sequence) continue
    add(text.slice(end, start), end, start)
    end = start + sequence.width
    add(sequence.char, start, end)
    start = end - 1
  }
  add(text.slice(end), end, text.length)

  const rangeOf = ([start, beyond]: Range): Range => {
    const [first, last] = [lastNotAbove(start, at), lastNotAbove(beyond - 1, at)]
    const isAtEnd = beyond === (at[last + 1] ?? length)
    const offset = (piece: number) => (from[piece] ?? 0) - (at[piece] ?? 0)
    return [start + offset(first), isAtEnd ? (to[last] ?? 0) : beyond + offset(last)]
  }
  return { plain: pieces.join(''), rangeOf }
}

const SPACE = 0x20
const PERCENT = 0x25
const BACKSLASH = 0x5c
/** Each nesting of JSON in JSON doubles them. */
const MAX_BACKSLASHES = 8

/** `%41`, `\u0041`, `\/`; and line breaks, which decode to nothing. */
function escapeAt(text: string, start: number): { char: string; width: number } | undefined {
  const code = text.charCodeAt(start)
  if (code <= SPACE) return { char: '', width: 1 }
  if (code === PERCENT) {
    const char = charOf(text.slice(start + 1, start + 3), 2)
    return char === undefined ? undefined : { char, width: 3 }
  }
  if (code !== BACKSLASH) return undefined
  let at = start + 1
  while (text.charCodeAt(at) === BACKSLASH && at < start + MAX_BACKSLASHES) at++
  const letter = text[at] ?? ''
  const width = at + 1 - start
  if (letter === '/') return { char: '/', width }
  if (letter === 'n' || letter === 'r' || letter === 't') return { char: '', width }
  const char = letter === 'u' ? charOf(text.slice(at + 1, at + 5), 4) : undefined
  return char === undefined ? undefined : { char, width: width + 4 }
}

const HEX = /^[0-9a-f]+$/i

function charOf(digits: string, count: number): string | undefined {
  if (digits.length < count || !HEX.test(digits)) return undefined
  return String.fromCharCode(Number.parseInt(digits, 16))
}

/** The index of the largest of the ascending `numbers` that is not above `number`; the first one is 0. */
function lastNotAbove(number: number, numbers: readonly number[]): number {
  let [low, high] = [0, numbers.length]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if ((numbers[middle] ?? 0) > number) high = middle
    else low = middle
  }
  return low
}

// ---- unknown secrets ----

const MAX_WORD = 8192
const BEARER = /\bbearer +[^\s"\\]{8,8192}/gi
const WORD = /[\w.-]{20,8192}/g

/** Ranges of words that look like secrets. */
function lookalikes(text: string): Range[] {
  const bearers = [...text.matchAll(BEARER)]
  const words = [...text.matchAll(WORD)].filter(([word]) => isJwt(word) || isKey(word))
  return [...bearers, ...words].map(({ 0: { length }, index }) => [index, index + length])
}

/** RFC 7519. In JSON, the `n` of a line break may precede it. */
function isJwt(word: string): boolean {
  const begin = word.indexOf('eyJ')
  return begin >= 0 && word.slice(begin).split('.', 3).length === 3
}

const isKey = (word: string) => /^[nrt]?(sk|rt)[-_]/.test(word)
