import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { oneLine, printableJson, quote, visible } from '../../shared/visible-text.ts'
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

describe('a quotation', () => {
  test('is one line in quotation marks, which it cannot end itself', () => {
    expect(quote('  no such\n\n  "file"\x1b[31m\u202e\n')).toBe(`"no such 'file'\\x1b[31m\\u202e"`)
  })

  test('of a stack trace has what is said, and not where', () => {
    const trace = [
      'node:internal/modules/cjs/loader:1143',
      '  throw err;',
      '  ^',
      '',
      "Error: Cannot find module '/opt/codexbox/agent.cjs'",
      '    at Module._resolveFilename (node:internal/modules/cjs/loader:1140:15)',
      'Node.js v20.20.2',
    ]

    expect(quote(trace.join('\n'))).toBe(
      `"throw err; Error: Cannot find module '/opt/codexbox/agent.cjs'"`,
    )
  })

  test('of a long text has its beginning and its end', () => {
    const quoted = quote(`first ${'x'.repeat(5000)} last`)

    expect(quoted).toMatch(/^"first x+ … x+ last"$/)
    expect(quoted.length).toBeLessThanOrEqual(202)
  })

  test('is never longer, and never more than one line', () => {
    fc.assert(
      fc.property(fc.oneof(anyText, fc.string({ minLength: 150, maxLength: 400 })), (text) => {
        expect(quote(text)).toMatch(/^"[^"\n]{0,200}"$/u)
        expect(quote(text)).not.toMatch(NEVER)
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
