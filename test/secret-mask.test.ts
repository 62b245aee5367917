import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { maskOf } from '../host/secret-mask.ts'
import { unsignedJwt } from './fakes/issuer.ts'

const JWT = unsignedJwt({ sub: 'canary', exp: 1234567890, scope: 'a/b+c' })
const KEY = 'canary.access/token+1_and-more'
const secrets = [JWT, KEY]

const hex = (text: string) => Buffer.from(text).toString('hex')
const everyChar = (text: string, as: (char: string, at: number) => string) =>
  [...text].map((char, at) => as(char, at)).join('')
const unit = (char: string) => char.charCodeAt(0).toString(16).padStart(4, '0')
const inLines = (text: string, length: number, end: string) =>
  text.replace(new RegExp(`.{${length}}`, 'g'), `$&${end}`)
const base64 = (text: string, before = 0) => {
  const bytes = Buffer.concat([Buffer.alloc(before, '"'), Buffer.from(`${text}"}`)])
  return bytes.toString('base64')
}

const forms: [what: string, write: (secret: string) => string][] = [
  ['as it is', (secret) => secret],
  ['base64', (secret) => base64(secret)],
  ['base64, a byte before', (secret) => base64(secret, 1)],
  ['base64, two bytes before', (secret) => base64(secret, 2)],
  ['base64url', (secret) => Buffer.from(secret).toString('base64url')],
  ['base64url, a byte before', (secret) => Buffer.from(`>>?${secret}`).toString('base64url')],
  ['base64 in lines', (secret) => inLines(base64(secret), 76, '\n')],
  ['base64 in lines, in JSON', (secret) => JSON.stringify(inLines(base64(secret), 64, '\r\n'))],
  ['base64, percent-encoded', (secret) => encodeURIComponent(base64(secret, 1))],
  ['hex', (secret) => hex(secret)],
  ['HEX', (secret) => hex(secret).toUpperCase()],
  ['hex in lines', (secret) => inLines(hex(secret), 60, '\n')],
  ['hex in groups', (secret) => inLines(hex(secret), 4, ' ')],
  ['hex after a percent sign', (secret) => `100%${hex(secret)}`],
  ['percent-encoded', (secret) => encodeURIComponent(secret)],
  [
    'percent-encoded, every character',
    (secret) => everyChar(secret, (char) => `%${unit(char).slice(2)}`),
  ],
  [
    'percent-encoded, in capitals',
    (secret) => everyChar(secret, (char) => `%${unit(char).slice(2).toUpperCase()}`),
  ],
  ['JSON with \\u', (secret) => everyChar(secret, (char) => `\\u${unit(char)}`)],
  [
    'JSON with \\u, in capitals',
    (secret) => everyChar(secret, (char) => `\\u${unit(char).toUpperCase()}`),
  ],
  [
    'JSON with some \\u',
    (secret) => everyChar(secret, (char, at) => (at % 3 ? char : `\\u${unit(char)}`)),
  ],
  ['JSON with \\/', (secret) => secret.replaceAll('/', '\\/')],
  [
    'JSON with \\u in a text in JSON',
    (secret) =>
      JSON.stringify(JSON.stringify(everyChar(secret, (char) => `\\u${unit(char)}`))).slice(1, -1),
  ],
  ['JSON in lines', (secret) => inLines(secret, 10, '\\n')],
]

/** Any eight characters of it, in a row. */
const piecesOf = (written: string) =>
  Array.from({ length: Math.max(1, written.length - 8) }, (_, at) => written.slice(at, at + 8))

describe('a secret is masked', () => {
  test.each(forms)('in this form: %s', (_, write) => {
    for (const secret of secrets) {
      const written = write(secret)

      const masked = maskOf(secrets)(`before ${written}, after`)

      expect(masked).toContain('<masked>')
      expect(masked).toMatch(/^before .*, after$/s)
      const left = masked.split('<masked>').join(' ').slice('before '.length, -', after'.length)
      const pieces = piecesOf(write(secret))
      expect(pieces.filter((piece) => left.includes(piece))).toEqual([])
    }
  })

  test('wherever it stands, however it is mixed, and nothing else is', () => {
    const around = fc.string({
      unit: fc.constantFrom('%', '\\', 'u', 'n', ' ', '\n', '!', '"', 'ü', '😀'),
    })
    const asAny = (char: string) =>
      fc.constantFrom(
        char,
        `%${unit(char).slice(2)}`,
        `\\u${unit(char)}`,
        `\\\\u${unit(char).toUpperCase()}`,
        `${char}\n`,
        `${char}\\r\\n`,
      )
    const mixed = fc.constantFrom(...secrets).chain((secret) => fc.tuple(...[...secret].map(asAny)))
    fc.assert(
      fc.property(around, mixed, around, (before, chars, after) => {
        const written = chars.join('').trimEnd()

        const masked = maskOf(secrets)(`${before}!${written}!${after}`)

        expect(masked.startsWith(`${before}!`)).toBe(true)
        expect(masked.endsWith(`!${after}`)).toBe(true)
        expect(masked.slice(before.length + 1, masked.length - after.length - 1)).toMatch(
          /^<masked>(\\r\\n)?$/,
        )
      }),
      { numRuns: 1000 },
    )
  })

  test.each(forms)('at the place where a long text is cut: %s', (_, write) => {
    const written = write(KEY)

    for (let inside = 1; inside < written.length; inside += 7) {
      const masked = maskOf(secrets)(`${'x '.repeat(500)}${written} and more`, 1000 + inside)

      const left = masked.slice(1000).split('<masked>').join(' ')
      expect(piecesOf(written).filter((piece) => left.includes(piece))).toEqual([])
    }
  })

  test('that is short, where it stands as it is', () => {
    expect(maskOf(['none', ''])('none of 6e6f6e65')).toBe('<masked> of 6e6f6e65')
  })
})

test('what is no secret stays as it is', () => {
  const text = JSON.stringify({
    path: 'C:\\new\\users\\table',
    url: 'https://example.com/a%20b?c=%7Bd%7D',
    lines: 'one\ntwo\tthree \u0007 \ud83d\ude00',
    base64: base64('canary-but-no-secret'),
  })

  expect(maskOf(secrets)(text)).toBe(text)
})

test.each([
  '%41',
  '%',
  '\\u0041',
  '\\',
  '\\\\n',
  ' ',
  'QUFB',
  JWT.slice(0, -1),
  hex(JWT).slice(0, -1),
  base64(JWT).slice(0, -8),
])('the time grows with the text and not with its square: %s', (part) => {
  const mask = maskOf(secrets)
  const timeOf = (length: number) => {
    const text = part.repeat(Math.ceil(length / part.length)).slice(0, length)
    const startedAt = performance.now()
    mask(text)
    return performance.now() - startedAt
  }

  expect(timeOf(4_000_000)).toBeLessThan(5000)
})
