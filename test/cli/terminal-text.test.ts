import fc from 'fast-check'
import { expect, test } from 'vitest'
import { oneLine, terminalText } from '../../host/cli/terminal-text.ts'

test('control characters become visible, newlines and tabs stay', () => {
  expect(terminalText('a\tb\nc\r\nd\x1b[31m\x07\0\x7f\x9b\re')).toBe(
    'a\tb\nc\nd\\x1b[31m\\x07\\x00\\x7f\\x9b\\x0de',
  )
})

test('all other text stays as it is', () => {
  const text = 'Zoë · 日本 · 👩‍🔧 · \\x1b'

  expect(terminalText(text)).toBe(text)
})

test('S10: no text whatever gets a control character through', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 50 }), fc.nat(50), (text, columns) => {
      expect(terminalText(text)).not.toMatch(/(?![\n\t])\p{Cc}/u)
      expect(oneLine(text, columns)).not.toMatch(/\p{Cc}/u)
      expect(oneLine(text, columns).length).toBeLessThanOrEqual(Math.max(1, columns))
    }),
  )
})
