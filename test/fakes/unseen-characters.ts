/** Characters that must not come to a terminal as they are: what they are, and how they are shown. */
export const UNSEEN: readonly [char: string, what: string, shown: string][] = [
  ['\x00', 'NUL', '\\x00'],
  ['\x07', 'BEL', '\\x07'],
  ['\x1b', 'ESC', '\\x1b'],
  ['\x7f', 'DEL', '\\x7f'],
  ...Array.from({ length: 32 }, (_, index): [string, string, string] => {
    const code = 0x80 + index
    return [String.fromCharCode(code), 'C1', `\\x${code.toString(16)}`]
  }),
  ...[0x061c, 0x200e, 0x200f, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e].map(bidi),
  ...[0x2066, 0x2067, 0x2068, 0x2069].map(bidi),
  ['\u2028', 'line separator', '\\u2028'],
  ['\u2029', 'paragraph separator', '\\u2029'],
  ['\u00ad', 'soft hyphen', '\\xad'],
  ['\u200b', 'zero width space', '\\u200b'],
  ['\u200c', 'zero width non-joiner', '\\u200c'],
  ['\u200d', 'zero width joiner', '\\u200d'],
  ['\u2060', 'word joiner', '\\u2060'],
  ['\u2063', 'invisible separator', '\\u2063'],
  ['\u3164', 'Hangul filler', '\\u3164'],
  ['\ufe0f', 'variation selector', '\\ufe0f'],
  ['\ufeff', 'zero width no-break space', '\\ufeff'],
  ['\ufff9', 'interlinear annotation', '\\ufff9'],
  ['\u{e0041}', 'tag', '\\u{e0041}'],
]

function bidi(code: number): [string, string, string] {
  return [
    String.fromCharCode(code),
    'bidirectional control',
    `\\u${code.toString(16).padStart(4, '0')}`,
  ]
}
