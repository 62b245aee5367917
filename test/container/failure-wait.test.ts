import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hintedWaitMs } from '../../container/agent/failure-wait.ts'
import { retryAfterMs } from '../../shared/retry-after.ts'

const NOW = Date.parse('2026-11-20T12:00:00Z')
const A_CENTURY_MS = 100 * 365 * 86_400_000

describe('Retry-After', () => {
  test.each<[value: string | string[] | undefined, ms: number | undefined]>([
    ['0', 0],
    ['2', 2000],
    [' 2 ', 2000],
    ['1.5', 1500],
    ['0.0001', 1],
    ['1000000000', 1e12],
    ['9'.repeat(400), A_CENTURY_MS],
    [['3', '4'], 3000],
    ['Fri, 20 Nov 2026 12:00:05 GMT', 5000],
    ['Friday, 20-Nov-26 12:00:05 GMT', 5000],
    ['Fri Nov 20 12:00:05 2026', 5000],
    ['Fri, 20 Nov 2026 11:00:00 GMT', 0],
    ['Fri, 20 Nov 9999 11:00:00 GMT', A_CENTURY_MS],
    ['-1', undefined],
    ['+1', undefined],
    ['1e3', undefined],
    ['0x10', undefined],
    ['soon', undefined],
    ['Friday, maybe', undefined],
    ['2026-11-20', undefined],
    ['', undefined],
    [[], undefined],
    [undefined, undefined],
  ])('%j is %s ms', (value, ms) => {
    expect(retryAfterMs(value, NOW)).toBe(ms)
  })

  test('whatever it holds is a wait or nothing', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.double().map(String)), (value) => {
        const ms = retryAfterMs(value, NOW) ?? 0
        expect(ms).toBeGreaterThanOrEqual(0)
        expect(Number.isSafeInteger(NOW + ms)).toBe(true)
      }),
    )
  })
})

describe('a hint in a sentence', () => {
  test.each<[text: string, ms: number | undefined]>([
    ['Please try again in 1.3s. Visit https://example.invalid to learn more.', 1300],
    ['Please try again in 350ms.', 350],
    ['TRY AGAIN IN 1S', 1000],
    ['try again in 2 seconds', 2000],
    ['Try again in 1m2.5s', 62_500],
    ['try again in 1 minute', 60_000],
    ['try again in 2 minutes and 3 seconds.', 123_000],
    ['try again in 6h0m', 21_600_000],
    ['try again in 1 hour, 5 mins', 3_900_000],
    ['try again in 2 days 4 hrs', 187_200_000],
    ['try again in 0s', 0],
    ['try again in 999999999999 days', A_CENTURY_MS],
    ['try again in 3 months', undefined],
    ['try again in 5', undefined],
    ['try again in a moment', undefined],
    ['retry after 2s', undefined],
    ['used 3s of 5s', undefined],
    ['', undefined],
  ])('"%s" is %s ms', (text, ms) => {
    expect(hintedWaitMs(text)).toBe(ms)
  })

  test('as long as the units say, however they are put together', () => {
    const parts = fc.array(
      fc.tuple(
        fc.integer({ min: 0, max: 99 }),
        fc.constantFrom(['h', 3_600_000], ['min', 60_000], [' seconds', 1000], ['ms', 1]),
      ) as fc.Arbitrary<[number, [string, number]]>,
      { minLength: 1, maxLength: 4 },
    )
    fc.assert(
      fc.property(parts, fc.constantFrom('', ' ', ', ', ' and '), (given, separator) => {
        const words = given.map(([count, [unit]]) => `${count}${unit}`).join(separator)
        const sum = given.reduce((ms, [count, [, unitMs]]) => ms + count * unitMs, 0)

        expect(hintedWaitMs(`Please try again in ${words}.`)).toBe(sum)
      }),
    )
  })
})
