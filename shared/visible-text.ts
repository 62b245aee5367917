/**
 * Text of others (a model, a tool, a container, a file's name) on its way to a person. It must not move the cursor,
 * change the order of what is read, hide a part of it, or pass for our own words.
 */

/** Control characters, separators of lines, and what has no width: bidirectional marks and overrides among it. */
const UNSEEN = '\\p{Cc}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}\\uFFF9-\\uFFFB'

/** Scripts in which words are spelt with joiners and non-joiners. */
const JOINING = [
  ...['Arab', 'Syrc', 'Deva', 'Beng', 'Guru', 'Gujr', 'Orya'],
  ...['Taml', 'Telu', 'Knda', 'Mlym', 'Sinh', 'Mymr', 'Khmr'],
]
  .map((script) => `\\p{Script_Extensions=${script}}`)
  .join('')

/** What of it has its place in an emoji or a word, behind the character that it is about. */
const IN_PLACE = [
  '[\\p{Extended_Pictographic}\\p{Emoji_Modifier}\\uFE0F]\\u200D',
  `[${JOINING}][\\u200C\\u200D]`,
  '[\\p{Emoji}\\p{Script=Han}]\\p{Variation_Selector}',
].join('|')

/** Made when it is first needed: that takes milliseconds, for which the start of a container would wait. */
const shownAsEscapes = madeOnce(() => new RegExp(`[${UNSEEN}](?<![\\n\\t]|${IN_PLACE})`, 'gu'))
const allUnseen = madeOnce(() => new RegExp(`[${UNSEEN}]`, 'gu'))

function madeOnce(make: () => RegExp): () => RegExp {
  let made: RegExp | undefined
  return () => {
    made ??= make()
    return made
  }
}

/**
 * The text with an escape (`\x9b`, `\u202e`) for each character that is not seen; newlines and tabs stay, and so do
 * joiners in emoji and in scripts that need them. `before` is what was shown just before, if it is part of a stream.
 */
export function visible(text: string, before = ''): string {
  const [last = ''] = /[^\r]$/u.exec(before) ?? []
  const shown = `${last}${text}`.replace(/\r\n/g, '\n').replace(shownAsEscapes(), escapeOf)
  return shown.slice(last.replace(shownAsEscapes(), escapeOf).length)
}

/** One line of at most `length` characters. */
export function oneLine(text: string, length: number): string {
  const line = visible(text).replace(/\s+/g, ' ').trim()
  return line.length > length ? `${line.slice(0, Math.max(0, length - 1))}…` : line
}

/** What a file is called, in at most `length` characters; where it is cut, its end can still be read. */
export function visibleName(name: string, length: number): string {
  const shown = name.replace(shownAsEscapes(), escapeOf).replace(/[\n\t]/g, escapeOf)
  if (shown.length <= length) return shown
  const head = Math.ceil((length - 1) / 3)
  return `${shown.slice(0, head)}…${shown.slice(head + 1 - length)}`
}

/** Of a longer quotation there are the head and the tail: an error is at the one or at the other. */
const MAX_QUOTED = 200

/** Of a stack trace, what tells where and not what. */
const PLACES = /^( +at .*| *\^+|node:internal\/.*|Node\.js v.*)$/gm

/** What another has said, such as a process on its stderr: one line in quotation marks, which it cannot end itself. */
export function quote(text: string): string {
  const words = visible(text.replace(PLACES, ''))
  const line = words.replace(/\s+/g, ' ').trim().replaceAll('"', "'")
  const half = MAX_QUOTED / 2 - 2
  return `"${line.length > MAX_QUOTED ? `${line.slice(0, half)} … ${line.slice(-half)}` : line}"`
}

/** JSON with the same value and without such a character: a terminal may be what it is printed to. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replace(allUnseen(), (char) =>
    Array.from({ length: char.length }, (_, at) => `\\u${hex(char.charCodeAt(at), 4)}`).join(''),
  )
}

function escapeOf(char: string): string {
  const code = char.codePointAt(0) ?? 0
  if (code <= 0xff) return `\\x${hex(code, 2)}`
  return code <= 0xffff ? `\\u${hex(code, 4)}` : `\\u{${hex(code, 5)}}`
}

const hex = (code: number, digits: number) => code.toString(16).padStart(digits, '0')
