import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ClientHelloReader, type Hello } from '../../host/outer/egress/client-hello.ts'
import { realHello } from './egress-bench.ts'

const hello = await realHello({ servername: 'service.test', ALPNProtocols: ['h2', 'http/1.1'] })
const readClientHello = (bytes: Buffer, options = {}) => new ClientHelloReader(options).read(bytes)

/** What is said of the pieces, one after the other, up to an answer. */
function readInPieces(bytes: Buffer, cuts: readonly number[], options = {}): Hello {
  const reader = new ClientHelloReader(options)
  let answer: Hello = { status: 'more' }
  for (const piece of pieces(bytes, cuts)) {
    answer = reader.read(piece)
    if (answer.status !== 'more') break
  }
  return answer
}

const read = { status: 'read', serverName: 'service.test', end: expect.any(Number) }

describe('what a real client says first', () => {
  test.each([
    ['TLS 1.3', { minVersion: 'TLSv1.3' as const }],
    ['TLS 1.2', { maxVersion: 'TLSv1.2' as const }],
  ])('is read: %s', async (_, versions) => {
    const bytes = await realHello({ servername: 'service.test', ...versions })

    expect(readClientHello(bytes)).toEqual(read)
  })

  test('may name nobody', async () => {
    expect(readClientHello(await realHello({}))).toMatchObject({ serverName: undefined })
  })

  test('is more wherever it is cut, and never anything else', () => {
    for (let cut = 0; cut < hello.length; cut++) {
      expect(readClientHello(hello.subarray(0, cut))).toEqual({ status: 'more' })
    }
  })

  test('may come in any number of records', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: hello.length - 6 }), { maxLength: 20 }),
        (cuts) => {
          const bytes = inRecords(hello.subarray(5), cuts)

          expect(readClientHello(bytes)).toEqual(read)
          expect(readClientHello(bytes.subarray(0, -1))).toEqual({ status: 'more' })
        },
      ),
    )
  })

  test('is read wherever the stream is cut, and however it is damaged the answer is the same', () => {
    const positions = fc.array(fc.integer({ min: 1, max: 2000 }), { maxLength: 40 })
    const damage = fc.option(fc.tuple(fc.nat(hello.length - 1), fc.nat(255)), { freq: 2 })
    const before = Buffer.from([20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 0, 23, 3, 3, 0, 2, 7, 7])
    fc.assert(
      fc.property(
        positions,
        positions,
        damage,
        fc.boolean(),
        (records, cuts, damaged, isSecond) => {
          const message = inRecords(hello.subarray(5), records)
          const bytes = isSecond ? Buffer.concat([before, message]) : message
          if (damaged) bytes[damaged[0] % bytes.length] = damaged[1]

          const inPieces = readInPieces(bytes, cuts, { isSecond })

          expect(inPieces).toEqual(readClientHello(bytes, { isSecond }))
          if (!damaged) expect(inPieces).toEqual(read)
        },
      ),
      { numRuns: 1000 },
    )
  })

  test('may be followed by other records, such as early data', () => {
    const bytes = Buffer.concat([hello, Buffer.from([20, 3, 3, 0, 1, 1])])

    expect(readClientHello(bytes)).toEqual({ ...read, end: hello.length })
  })

  test('comes after others that nobody reads, when it is the second', () => {
    const before = Buffer.from([20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 2, 7, 7])
    const bytes = Buffer.concat([before, hello, before])
    const end = before.length + hello.length

    expect(readClientHello(bytes, { isSecond: true })).toEqual({ ...read, end })
    expect(readClientHello(bytes)).toMatchObject({ status: 'refused' })
    for (let cut = 0; cut < end; cut++) {
      expect(readClientHello(bytes.subarray(0, cut), { isSecond: true }).status).toBe('more')
    }
  })
})

describe('refused is', () => {
  const body = hello.subarray(9)
  const withExtensions = (extensions: Buffer) => {
    const upTo = 34 + 1 + (body[34] ?? 0)
    const ciphers = upTo + 2 + body.readUInt16BE(upTo)
    const start = ciphers + 1 + (body[ciphers] ?? 0)
    return message(Buffer.concat([body.subarray(0, start), block(2, extensions)]))
  }
  const named = (name: string) => block(2, Buffer.concat([Buffer.from([0]), block(2, name)]))
  const sni = (data: Buffer) => Buffer.concat([Buffer.from([0, 0]), block(2, data)])

  test('nothing of this, which the cases below are made of', () => {
    expect(readClientHello(withExtensions(sni(named('a.test'))))).toMatchObject({
      status: 'read',
      serverName: 'a.test',
    })
    expect(readClientHello(withExtensions(Buffer.alloc(0)))).toMatchObject({ status: 'read' })
  })

  test.each([
    ['two names', sni(block(2, Buffer.concat([Buffer.from([0, 0, 1, 97, 0, 0, 1, 98])])))],
    ['two extensions with a name', Buffer.concat([sni(named('a.test')), sni(named('b.test'))])],
    ['bytes behind the names', sni(Buffer.concat([named('a.test'), Buffer.from([0])]))],
    ['a name of another kind', sni(block(2, Buffer.from([1, 0, 1, 97])))],
    ['a name longer than its list', sni(block(2, Buffer.from([0, 0, 9, 97])))],
    ['an empty extension', sni(Buffer.alloc(0))],
    ['an encrypted part', Buffer.concat([sni(named('a.test')), Buffer.from([0xfe, 0x0d, 0, 0])])],
  ])('%s', (_, extensions) => {
    expect(readClientHello(withExtensions(extensions))).toMatchObject({ status: 'refused' })
  })

  test.each([
    ['http', Buffer.from('GET / HTTP/1.1\r\n')],
    ['SSH', Buffer.from('SSH-2.0-x\r\n')],
    ['SSL 2', Buffer.from([0x80, 0x2e, 1, 3, 1])],
    ['an empty record', Buffer.from([22, 3, 1, 0, 0])],
    ['another version', Buffer.from([22, 2, 1, 0, 4])],
    ['a ServerHello', Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0])],
    [
      'an alert in between',
      Buffer.concat([hello.subarray(0, 5), hello.subarray(5, 9)]).fill(21, 0, 1),
    ],
    [
      'a second message in the same record',
      record(Buffer.concat([hello.subarray(5), Buffer.of(1)])),
    ],
    ['bytes behind the extensions', message(Buffer.concat([body, Buffer.of(0)]))],
    ['a record that is longer than any', record(hello.subarray(5)).fill(0xff, 3, 5)],
    ['a record for each byte', inRecords(hello.subarray(5), everyByteOf(hello))],
    [
      'a message without end',
      record(Buffer.concat([Buffer.of(1, 0, 255, 255), Buffer.alloc(16_383)])),
    ],
  ])('%s', (_, bytes) => {
    expect(readClientHello(bytes)).toMatchObject({ status: 'refused' })
  })

  test('or read, or more, but never thrown at: any bytes, and any damage', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        readClientHello(Buffer.from(bytes))
      }),
    )
    fc.assert(
      fc.property(fc.nat(hello.length - 1), fc.nat(255), (at, value) => {
        const damaged = Buffer.from(hello)
        damaged[at] = value
        readClientHello(damaged)
      }),
      { numRuns: 2000 },
    )
  })
})

function block(prefix: 1 | 2 | 3, content: Buffer | string): Buffer {
  const bytes = Buffer.from(content)
  const length = Buffer.alloc(prefix)
  length.writeUIntBE(bytes.length, 0, prefix)
  return Buffer.concat([length, bytes])
}

function record(content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([22, 3, 1]), block(2, content)])
}

function message(body: Buffer): Buffer {
  return record(Buffer.concat([Buffer.from([1]), block(3, body)]))
}

function inRecords(message: Buffer, cuts: readonly number[]): Buffer {
  return Buffer.concat(pieces(message, cuts).map(record))
}

function pieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const inside = cuts.filter((cut) => cut > 0 && cut < bytes.length)
  const at = [0, ...[...new Set(inside)].sort((a, b) => a - b), bytes.length]
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end))
}

function everyByteOf(bytes: Buffer): number[] {
  return [...bytes.keys()]
}
