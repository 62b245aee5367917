import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ClippedOutput, clip } from '../../container/worker/clipped-output.ts'
import { workTime } from '../work-time.ts'

const marker = /\n\[… (\d+) bytes of (\d+) left out here …\]\n/

function clipped(chunks: Iterable<Buffer>, limit: number): string {
  const output = new ClippedOutput(limit)
  for (const chunk of chunks) output.push(chunk)
  return output.toString()
}

function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const ends = cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b)
  return [...ends, bytes.length].map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
}

const limit = fc.integer({ min: 1, max: 60 })
const cuts = fc.array(fc.nat(), { maxLength: 6 })
// All lengths of UTF-8; none of them occurs in the marker's frame.
const text = fc
  .array(fc.constantFrom('a', '\n', 'ä', '€', '😀', '\u{10FFFF}'), { maxLength: 60 })
  .map((parts) => parts.join(''))

describe('clipped output', () => {
  test('is head, count and tail of any text, within the limit, in whole characters', () => {
    fc.assert(
      fc.property(text, limit, cuts, (whole, limitBytes, places) => {
        const bytes = Buffer.from(whole)
        const output = clipped(cutAt(bytes, places), limitBytes)
        if (bytes.length <= limitBytes) {
          expect(output).toBe(whole)
          return
        }

        const [head = '', dropped, total, tail = ''] = output.split(marker)
        const headBytes = Buffer.byteLength(head)
        const tailBytes = Buffer.byteLength(tail)
        expect(headBytes + tailBytes).toBeLessThanOrEqual(limitBytes)
        // Nothing more is lost than the characters the cuts go through.
        expect(headBytes + tailBytes).toBeGreaterThanOrEqual(limitBytes - 6)
        expect(whole.startsWith(head) && whole.endsWith(tail)).toBe(true)
        expect(output).not.toContain('\uFFFD')
        expect(Number(dropped)).toBe(bytes.length - headBytes - tailBytes)
        expect(Number(total)).toBe(bytes.length)
      }),
      { numRuns: 5000 },
    )
  })

  test('of bytes that are no text has no more characters than the limit', () => {
    const noise = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))
    fc.assert(
      fc.property(noise, limit, cuts, (bytes, limitBytes, places) => {
        const output = clipped(cutAt(bytes, places), limitBytes)
        expect([...output.replace(marker, '')].length).toBeLessThanOrEqual(limitBytes)
      }),
      { numRuns: 2000 },
    )
  })

  test('does not depend on whether the chunks are used again by who pushed them', () => {
    const output = new ClippedOutput(12)
    const chunk = Buffer.from('first')
    output.push(chunk)
    output.push(chunk)
    chunk.fill('x')

    expect(output.toString()).toBe('firstfirst')
  })

  test('can be looked at in between', () => {
    const output = new ClippedOutput(4)
    output.push(Buffer.from('abcdef'))
    expect(output.toString()).toContain('2 bytes of 6')
    output.push(Buffer.from('gh'))

    expect(output.totalBytes).toBe(8)
    expect(output.toString()).toBe('ab\n[… 4 bytes of 8 left out here …]\ngh')
  })

  test('of a text alone is cut the same way', () => {
    expect(clip('whole', 5)).toBe('whole')
    expect(clip('€€€€', 8)).toBe('€\n[… 6 bytes of 12 left out here …]\n€')
  })

  test.each([
    [16, 64],
    [1024, 200],
    [1024 * 1024, 400],
  ])('of a flood in chunks of %i bytes costs neither memory nor time', (size, megabytes) => {
    const chunk = Buffer.alloc(size, 'x')
    const count = (megabytes * 1024 * 1024) / size
    const before = process.memoryUsage.rss()
    const worked = workTime()

    const output = new ClippedOutput(40_000)
    for (let pushed = 0; pushed < count; pushed++) output.push(chunk)
    const shown = output.toString()

    expect(worked()).toBeLessThan(8000)
    // Kept whole, the smallest flood would take more; garbage that waits for its collector is allowed.
    expect(process.memoryUsage.rss() - before).toBeLessThan(160 * 1024 * 1024)
    expect(shown.length).toBeLessThan(40_100)
    expect(output.totalBytes).toBe(count * size)
  })
})
