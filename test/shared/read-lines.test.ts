import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LineTooLongError, readLines } from '../../shared/read-lines.ts'
import { streamOf } from '../fakes/stream-of.ts'
import { workTime } from '../work-time.ts'

async function read(chunks: Iterable<Uint8Array>, maxBytes = 1000): Promise<string[]> {
  const lines: string[] = []
  for await (const line of readLines(streamOf(chunks), maxBytes)) lines.push(line)
  return lines
}

/** All lines at once, the unfinished one left out. */
const reference = (bytes: Buffer) => bytes.toString('utf8').split('\n').slice(0, -1)

const character = fc.oneof(
  fc.constantFrom('\n', '\r', '\u2028', '\u2029', '\u0085', '\u0000', '\uFEFF', 'ä', '€', '😀'),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
)
const text = fc.array(character, { maxLength: 40 }).map((parts) => Buffer.from(parts.join('')))
const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array))

describe('the lines', () => {
  test('of any bytes are the same wherever they are cut', async () => {
    const cuts = fc.array(fc.nat(), { maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(fc.oneof(text, bytes), cuts, async (whole, places) => {
        const ends = places.map((cut) => cut % (whole.length + 1)).sort((a, b) => a - b)
        const chunks = [...ends, whole.length].map((end, index) =>
          // Not a Buffer, and not at the start of its memory: as web streams give them.
          new Uint8Array(whole).subarray(ends[index - 1] ?? 0, end),
        )
        expect(await read(chunks)).toEqual(reference(whole))
      }),
      { numRuns: 10_000 },
    )
  })

  test('end at a newline and nowhere else', async () => {
    const line = 'a\u2028b\u2029c\u0085d\re\vf\fg\u0000h'

    expect(await read([Buffer.from(`${line}\n\n${line}\r\n`)])).toEqual([line, '', `${line}\r`])
  })

  test('end before one that was torn', async () => {
    expect(await read([Buffer.from('{"whole":1}\n{"torn":')])).toEqual(['{"whole":1}'])
    expect(await read([Buffer.from('{"no newline":1}')])).toEqual([])
  })

  test('come as soon as they are there', async () => {
    const source = streamOf([Buffer.from('one\ntwo\nthr'), Buffer.from('ee\n')])
    const lines = readLines(source, 100)

    expect((await lines.next()).value).toBe('one')
    expect((await lines.next()).value).toBe('two')
    expect(source.pulled).toBe(1)
  })

  test('may be a million empty ones', async () => {
    const worked = workTime()

    expect(await read([Buffer.alloc(1e6, '\n')])).toHaveLength(1e6)
    expect(worked()).toBeLessThan(2000)
  })
})

describe('a line that is too long', () => {
  test('is refused in one piece and in many, and the limit itself is not too long', async () => {
    const inPieces = (line: string) => [...Buffer.from(`${line}\n`)].map((byte) => Buffer.of(byte))

    expect(await read([Buffer.from('12345\n')], 5)).toEqual(['12345'])
    expect(await read(inPieces('12345'), 5)).toEqual(['12345'])
    await expect(read([Buffer.from('123456\n')], 5)).rejects.toThrow(LineTooLongError)
    await expect(read(inPieces('123456'), 5)).rejects.toThrow(LineTooLongError)
  })

  test('is refused after the lines before it', async () => {
    const lines = readLines(streamOf([Buffer.from('one\ntwotwo\n')]), 5)

    expect((await lines.next()).value).toBe('one')
    await expect(lines.next()).rejects.toThrow(LineTooLongError)
  })

  test('is not read on when its end never comes', async () => {
    const chunk = Buffer.alloc(64 * 1024, 'x')
    const source = streamOf(
      (function* endless() {
        for (;;) yield chunk
      })(),
    )
    const lines = readLines(source, 1024 * 1024)

    await expect(lines.next()).rejects.toThrow(LineTooLongError)
    expect(source.pulled).toBe(17)
  })
})
