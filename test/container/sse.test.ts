import { StringDecoder } from 'node:string_decoder'
import { createParser } from 'eventsource-parser'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EventTooLargeError, sseEvents } from '../../container/agent/sse.ts'
import { streamOf } from '../fakes/stream-of.ts'
import { isFull } from '../full-size.ts'
import { workTime } from '../work-time.ts'

async function read(chunks: Iterable<Uint8Array>, maxBytes?: number): Promise<string[]> {
  const events: string[] = []
  for await (const event of sseEvents(streamOf(chunks), maxBytes)) events.push(event)
  return events
}

/** The algorithm of the standard, word by word, on the whole text at once. */
function reference(bytes: Uint8Array): string[] {
  const lines = new TextDecoder().decode(bytes).split(/\r\n|\r|\n/)
  lines.pop()
  const events: string[] = []
  let data = ''
  for (const line of lines) {
    if (line === '') {
      if (data !== '') events.push(data.slice(0, -1))
      data = ''
      continue
    }
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1)
    if (field === 'data') data += `${value.startsWith(' ') ? value.slice(1) : value}\n`
  }
  return events
}

/** What eventsource-parser makes of the same. */
function readByOther(chunks: readonly Uint8Array[]): string[] {
  const events: string[] = []
  const parser = createParser({ onEvent: ({ data }) => events.push(data) })
  // It looks for the bytes of a byte order mark, which text does not have. The TextDecoder of Node takes
  // away two where the first is cut.
  const decoder = new StringDecoder('utf8')
  let isStart = true
  for (const chunk of chunks) {
    const text = decoder.write(Buffer.from(chunk))
    parser.feed(isStart ? text.replace(/^\uFEFF/, '') : text)
    if (text) isStart = false
  }
  // It waits for what follows a CR; this does, and ends no event.
  parser.feed(':\n')
  return events
}

/** `bytes` in pieces, empty ones included. */
function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const ends = cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b)
  return [...ends, bytes.length].map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
}

const text = fc.string({ unit: 'binary', maxLength: 12 })
const line = fc.oneof(
  { weight: 3, arbitrary: fc.constant('') },
  { weight: 3, arbitrary: text.map((value) => `data:${value}`) },
  { weight: 2, arbitrary: text.map((value) => `data: ${value}`) },
  { weight: 1, arbitrary: text },
  fc.constantFrom('data', 'data:', 'data: ', 'data :x', ' data: x', 'dataset: x', 'Data: x', ': c'),
  fc.constantFrom('event: message', 'id: 1', 'retry: 10', ':', ': data: x', '\uFEFFdata: x'),
)
const eol = fc.constantFrom('\n', '\n', '\r\n', '\r')
const stream = fc
  .record({
    bom: fc.constantFrom('', '', '\uFEFF', '\uFEFF\uFEFF'),
    lines: fc.array(fc.tuple(line, eol), { maxLength: 12 }),
    rest: fc.oneof(fc.constant(''), line),
  })
  .map(({ bom, lines, rest }) => Buffer.from(bom + lines.flat().join('') + rest))
const noise = fc
  .array(fc.constantFrom(0x0a, 0x0d, 0x20, 0x3a, 0x64, 0x80, 0xc3, 0xe2, 0xf0, 0xff), {
    maxLength: 40,
  })
  .map((bytes) => Buffer.concat([Buffer.from('data:'), Buffer.from(bytes), Buffer.from('\n\n')]))

const short =
  '\uFEFFdata: ä€\r\n\r\n: ☃\ndata:😀\rdata\r\r\ndata: two\ndata: lines\n\ndata: torn 😀'

describe('events are those of the standard', () => {
  test('for any stream, cut anywhere', async () => {
    const cuts = fc.array(fc.nat(), { maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(fc.oneof(stream, noise), cuts, async (bytes, places) => {
        expect(await read(cutAt(bytes, places))).toEqual(reference(bytes))
      }),
      { numRuns: 10_000 },
    )
  })

  // Small streams of what can go wrong at a cut; there are more than enough of them in a second.
  test('and those of another parser, in many streams', { timeout: 120_000 }, async () => {
    const piece = fc.constantFrom(
      ...[
        'data:',
        'data: ',
        '\ndata: x',
        'data',
        'event: e',
        'id',
        ': c',
        ':',
        'x',
        ' ',
        'ä',
        '😀',
      ],
      ...['\n', '\n', '\n\n', '\r\n', '\r\n\r\n', '\r', '\r\r', '\uFEFF'],
    )
    const pieces = fc.array(piece, { minLength: 4, maxLength: 20 })
    const cuts = fc.array(fc.nat({ max: 99 }), { maxLength: 4 })
    let events = 0
    await fc.assert(
      fc.asyncProperty(pieces, cuts, async (parts, places) => {
        const chunks = cutAt(Buffer.from(parts.join('')), places)
        const ours = await read(chunks)
        events += ours.length
        expect(ours).toEqual(readByOther(chunks))
      }),
      { numRuns: isFull ? 100_000 : 20_000 },
    )
    expect(events).toBeGreaterThan(isFull ? 50_000 : 10_000)
  })

  test('one byte order mark is not part of a stream, a second one is, wherever it is cut', async () => {
    const bytes = Buffer.from('\uFEFFdata: a\n\n')
    const twice = Buffer.from('\uFEFF\uFEFFdata: a\n\n')
    for (let cut = 0; cut <= bytes.length; cut++) {
      expect(await read([bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual(['a'])
      expect(await read([twice.subarray(0, cut), twice.subarray(cut)])).toEqual([])
    }
  })

  test('for every single cut, and byte by byte', async () => {
    const bytes = Buffer.from(short)
    const events = ['ä€', '😀\n', 'two\nlines']
    expect(reference(bytes)).toEqual(events)

    for (let cut = 0; cut <= bytes.length; cut++) {
      expect(await read([bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual(events)
    }
    expect(await read([...bytes].map((byte) => Buffer.of(byte)))).toEqual(events)
  })

  test.each([
    ['its last line has no end', 'data: x\n\ndata: y'],
    ['its blank line is missing', 'data: x\n\ndata: y\n'],
    ['its blank line is missing after a CRLF', 'data: x\r\n\r\ndata: y\r\n'],
  ])('an event is not delivered when %s', async (_, bytes) => {
    expect(await read([Buffer.from(bytes)])).toEqual(['x'])
  })
})

describe('what no honest service sends', () => {
  const limit = 1024 * 1024
  const chunk = Buffer.alloc(64 * 1024, 'x')

  function* endless(bytes: Buffer) {
    for (;;) yield bytes
  }

  test.each([
    ['one line without end', chunk],
    ['lines without end', Buffer.from('data: x\n'.repeat(8 * 1024))],
    ['comments without end', Buffer.from(`:${'x'.repeat(64 * 1024)}\r`)],
  ])('%s are given up at the limit', async (_, bytes) => {
    const source = streamOf(endless(bytes))

    const reading = (async () => {
      for await (const _event of sseEvents(source, limit)) expect.unreachable()
    })()

    await expect(reading).rejects.toThrow(EventTooLargeError)
    expect(source.pulled * bytes.length).toBeLessThan(2 * limit)
  })

  test('the limit is one of an event, not of the stream', async () => {
    const event = Buffer.from(`data: ${'x'.repeat(1000)}\n\n`)

    expect(await read(Array(100).fill(event), 1006)).toHaveLength(100)
    await expect(read([event], 1005)).rejects.toThrow(EventTooLargeError)
  })

  test.each([
    ['LF', '\n'],
    ['CRLF', '\r\n'],
    ['CR', '\r'],
  ])('a million empty lines are read in no time (%s)', async (_, end) => {
    const lines = Buffer.from(`data: x${end}${end.repeat(1e6)}`)
    const worked = workTime()

    expect(await read([lines])).toEqual(['x'])
    expect(worked()).toBeLessThan(2000)
  })
})
