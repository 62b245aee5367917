/**
 * Makes untrusted text (of a model, a tool, a container, a file name) safe to show. It must not move the cursor,
 * change the reading order, hide a part of the text, or pass for our own messages.
 */

/** Control characters, line separators, and characters without width, such as bidirectional marks and overrides. */
const UNSEEN = '\\p{Cc}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}\\uFFF9-\\uFFFB'

/** Scripts whose words are spelt with joiners and non-joiners. */
const JOINING = [
  ...['Arab', 'Syrc', 'Deva', 'Beng', 'Guru', 'Gujr', 'Orya'],
  ...['Taml', 'Telu', 'Knda', 'Mlym', 'Sinh', 'Mymr', 'Khmr'],
]
  .map((script) => `\\p{Script_Extensions=${script}}`)
  .join('')

/** Such characters that belong to an emoji or a word, after the character that they modify. */
const IN_PLACE = [
  '[\\p{Extended_Pictographic}\\p{Emoji_Modifier}\\uFE0F]\\u200D',
  `[${JOINING}][\\u200C\\u200D]`,
  '[\\p{Emoji}\\p{Script=Han}]\\p{Variation_Selector}',
].join('|')

/** Made on first use: it takes milliseconds, which would delay the start of a container. */
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
 * The text with an escape (`\x9b`, `\u202e`) for each invisible character; newlines and tabs stay, and so do
 * joiners in emoji and in scripts that need them. `before` is the text shown just before, in a stream.
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

/** A file name in at most `length` characters; a long name is cut in the middle, so that its end can be read. */
export function visibleName(name: string, length: number): string {
  const shown = name.replace(shownAsEscapes(), escapeOf).replace(/[\n\t]/g, escapeOf)
  if (shown.length <= length) return shown
  const head = Math.ceil((length - 1) / 3)
  return `${shown.slice(0, head)}…${shown.slice(head + 1 - length)}`
}

/** A longer quotation shows the head and the tail: the error is in one of them. */
const MAX_QUOTED = 200

/** The lines of a stack trace with positions instead of the message. */
const PLACES = /^( +at .*| *\^+|node:internal\/.*|Node\.js v.*)$/gm

/** Foreign text, such as the stderr of a process: one line in quotation marks, which the text cannot close itself. */
export function quote(text: string): string {
  const words = visible(text.replace(PLACES, ''))
  const line = words.replace(/\s+/g, ' ').trim().replaceAll('"', "'")
  const half = MAX_QUOTED / 2 - 2
  return `"${line.length > MAX_QUOTED ? `${line.slice(0, half)} … ${line.slice(-half)}` : line}"`
}

/** JSON with the same value and without invisible characters: stdout may be a terminal. */
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
