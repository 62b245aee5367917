import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { oneLine, printableJson, visible } from '../../shared/visible-text.ts'
import { UNSEEN } from '../fakes/unseen-characters.ts'

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 50 }),
  fc
    .array(fc.constantFrom(...UNSEEN.map(([char]) => char), 'a', '👩', '1', 'ك', '漢', '\r', '\n'))
    .map((chars) => chars.join('')),
)

/** What no text may have in it, wherever it stands. */
const NEVER = /(?![\n\t])[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\u200B\u2060\uFEFF\u{E0000}-\u{E00FF}]/u

describe('visible text', () => {
  test.each(UNSEEN)('shows %j (%s) as %s', (char, _, shown) => {
    expect(visible(`a${char}b`)).toBe(`a${shown}b`)
    expect(visible(char)).toBe(shown)
  })

  test('has the newlines and tabs of the text, and one newline for CR and LF', () => {
    expect(visible('a\tb\nc\r\nd\re')).toBe('a\tb\nc\nd\\x0de')
  })

  test.each(['Zoë · 日本 · עברית · \\x1b', '👩‍🔧 👩🏽‍🔧 ❤️‍🔥 🏳️‍🌈 1️⃣ #️⃣ ☎︎', 'می‌خواهم', 'क्‍ष', '葛󠄀'])(
    'is the same for what needs what is not seen: %s',
    (text) => {
      expect(visible(text)).toBe(text)
    },
  )

  test.each([
    ['joiners between Latin letters', 'ad\u200dm\u200cin', 'ad\\u200dm\\u200cin'],
    ['a joiner at the beginning', '\u200d.sh', '\\u200d.sh'],
    ['many variations of one character', '😀\ufe0f\ufe0f\ufe00', '😀\ufe0f\\ufe0f\\ufe00'],
  ])('shows %s', (_, text, shown) => {
    expect(visible(text)).toBe(shown)
  })

  test('has nothing in it that is not seen, whatever the text', () => {
    fc.assert(
      fc.property(anyText, fc.nat(50), (text, length) => {
        expect(visible(text)).not.toMatch(NEVER)
        expect(oneLine(text, length)).not.toMatch(/\p{Cc}/u)
        expect(oneLine(text, length).length).toBeLessThanOrEqual(Math.max(1, length))
      }),
    )
  })

  test('is the same whether the text comes whole or in pieces', () => {
    fc.assert(
      fc.property(fc.array(anyText, { maxLength: 5 }), (texts) => {
        // A newline may be cut in two; its half is shown then.
        const pieces = texts.map((text) => text.replaceAll('\r', ''))
        let before = ''
        let shown = ''
        for (const piece of pieces) {
          shown += visible(piece, before)
          before = piece || before
        }

        expect(shown).toBe(visible(pieces.join('')))
      }),
    )
  })
})

describe('printable JSON', () => {
  test.each(UNSEEN)('has an escape for %j (%s)', (char) => {
    const printed = printableJson({ [`a${char}`]: `b${char}` })

    expect(printed).not.toContain(char)
    expect(printed).toMatch(/^[\x20-\x7e]+$/)
    expect(JSON.parse(printed)).toEqual({ [`a${char}`]: `b${char}` })
  })

  test('has the same value as any other, and nothing in it that is not seen', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), anyText), (value) => {
        expect(JSON.parse(printableJson(value))).toEqual(value)
        expect(printableJson(value)).not.toMatch(/[\p{Cc}\p{Default_Ignorable_Code_Point}]/u)
      }),
    )
  })
})
