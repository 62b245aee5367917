import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import tls from 'node:tls'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ServerHelloReader } from '../../host/outer/egress/server-hello.ts'
import { realHello } from './egress-bench.ts'

const fixture = (name: string) => readFileSync(new URL(`../fixtures/net/${name}`, import.meta.url))

/** What a real server says first. */
async function answerTo(hello: Buffer, options: tls.TlsOptions): Promise<Buffer> {
  const credentials = { key: fixture('key.pem'), cert: fixture('certificate.pem') }
  const server = tls.createServer({ ...credentials, ...options }).on('tlsClientError', () => {})
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const client = net.connect((server.address() as AddressInfo).port, '127.0.0.1')
  client.write(hello)
  const [answer] = await once(client, 'data')
  client.destroy()
  server.close()
  return answer
}

const hello = await realHello({ servername: 'service.test' })
const retry = await answerTo(hello, { ecdhCurve: 'P-384' })
const modern = await answerTo(hello, {})
const older = await answerTo(hello, { maxVersion: 'TLSv1.2' })

const asksAgain = (bytes: Buffer) => new ServerHelloReader().read(bytes)

describe('whether a server asks for another hello', () => {
  test.each([
    ['one that wants another key', retry, true],
    ['one of TLS 1.3', modern, false],
    ['one of TLS 1.2', older, false],
  ])('is known: %s', (_, answer, asks) => {
    expect(asksAgain(answer)).toBe(asks)
  })

  test('is not known when it refuses', async () => {
    const refusal = await answerTo(hello, { ciphers: 'PSK', maxVersion: 'TLSv1.2' })

    expect(refusal[0]).toBe(21)
    expect(asksAgain(refusal)).toBeUndefined()
  })

  test('is known wherever the stream is cut, whatever clients read over stands in between', () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 20 })
    const readOver = fc.array(
      fc.tuple(
        fc.nat(20),
        fc.constantFrom(
          Buffer.from([20, 3, 3, 0, 1, 1]),
          Buffer.from([20, 3, 1, 0, 1, 1]),
          Buffer.from([21, 3, 3, 0, 2, 1, 112]), // A warning: the name is not known.
          Buffer.from([21, 3, 1, 0, 2, 1, 0]),
          Buffer.from([21, 3, 3, 0, 2, 2, 40]), // An error, which only honest clients take for the end.
        ),
      ),
      { maxLength: 20 },
    )
    const answers = fc.constantFrom([retry, true] as const, [modern, false] as const)
    fc.assert(
      fc.property(answers, cuts, readOver, cuts, ([answer, asks], records, others, chunks) => {
        const message = answer.subarray(5, 5 + answer.readUInt16BE(3))
        const said = pieces(message, records).map(record)
        for (const [at, other] of others) said.splice(at % (said.length + 1), 0, other)
        const reader = new ServerHelloReader()
        let known: boolean | undefined
        for (const chunk of pieces(Buffer.concat(said), chunks)) known ??= reader.read(chunk)

        expect(known).toBe(asks)
      }),
      { numRuns: 1000 },
    )
  })
})

describe('what is no answer to a hello', () => {
  test.each([
    ['http', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['an empty record of the handshake', Buffer.from([22, 3, 3, 0, 0])],
    ['an empty alert', Buffer.from([21, 3, 3, 0, 0])],
    ['a change of ciphers without its byte', Buffer.from([20, 3, 3, 0, 0])],
    ['one with another byte', Buffer.from([20, 3, 3, 0, 1, 2])],
    ['encrypted data', Buffer.from([23, 3, 3, 0, 1, 1])],
    ['another message first', record(Buffer.from([0, 0, 0, 0]))],
    ['a record of another kind', Buffer.from([24, 3, 3, 0, 1, 1])],
    ['a record that is longer than any', Buffer.from([22, 3, 3, 0x40, 1, 2])],
    ['another version', Buffer.from([22, 2, 0, 0, 1, 2])],
  ])('is refused, and hides none: %s', (_, bytes) => {
    const reader = () => new ServerHelloReader()

    expect(() => reader().read(Buffer.concat([bytes, retry]))).toThrow('is no TLS')
    expect(() => {
      const one = reader()
      for (const byte of Buffer.concat([bytes, retry])) one.read(Buffer.of(byte))
    }).toThrow('is no TLS')
  })

  test.each([
    ['alerts', Buffer.from([21, 3, 3, 0, 2, 1, 0])],
    ['changes of ciphers', Buffer.from([20, 3, 3, 0, 1, 1])],
  ])('ends after a hundred records: %s', (_, one) => {
    const reader = new ServerHelloReader()
    let read = 0

    expect(() => {
      for (; read < 1000; read++) reader.read(one)
    }).toThrow('comes in crumbs')
    expect(read).toBe(100)
  })

  test('is never thrown at in another way, whatever it is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, isDamaged) => {
        const damaged = Buffer.concat([retry.subarray(0, bytes.length), Buffer.from(bytes)])
        try {
          new ServerHelloReader().read(isDamaged ? damaged : Buffer.from(bytes))
        } catch (error) {
          expect((error as Error).message).toMatch(/^(is no TLS|comes in crumbs)$/)
        }
      }),
      { numRuns: 2000 },
    )
  })
})

function record(content: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from([22, 3, 3, content.length >> 8, content.length & 255]),
    content,
  ])
}

function pieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const inside = cuts.filter((cut) => cut < bytes.length)
  const at = [0, ...[...new Set(inside)].sort((a, b) => a - b), bytes.length]
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end))
}
