import fc from 'fast-check'
import { expect, test } from 'vitest'
import { statusBlock } from '../../setup/status-block.ts'

test('a block is the step, its fields line by line, and an end', () => {
  expect(statusBlock('codex-auth', { STATUS: 'success', DATA_DIR: '/data' })).toBe(
    '=== NANOCLAW SETUP: CODEX_AUTH ===\nSTATUS: success\nDATA_DIR: /data\n=== END ===',
  )
})

test('no value can forge a line, however the reader tells lines apart', () => {
  const someText = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 9 }),
    fc
      .array(
        fc.constantFrom(
          '\u202e',
          '\n',
          '\r',
          '\u2028',
          '\u2029',
          '\x85',
          '=== END ===',
          'STATUS: x',
        ),
      )
      .map((parts) => parts.join('')),
  )

  fc.assert(
    fc.property(fc.array(someText, { maxLength: 5 }), (values) => {
      const fields = Object.fromEntries(values.map((value, index) => [`KEY_${index}`, value]))

      expect(statusBlock('verify', fields)).not.toMatch(/\p{Bidi_Control}/u)
      const lines = statusBlock('verify', fields).split(/[\p{Cc}\p{Zl}\p{Zp}]/u)

      expect(lines).toHaveLength(values.length + 2)
      expect(lines.slice(1, -1).every((line, index) => line.startsWith(`KEY_${index}: `))).toBe(
        true,
      )
      expect(lines.at(-1)).toBe('=== END ===')
    }),
  )
})
