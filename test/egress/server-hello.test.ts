import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import tls from 'node:tls'
import { expect, test } from 'vitest'
import { asksForAnotherHello } from '../../host/egress/server-hello.ts'
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

test.each([
  ['a server that wants another key', { ecdhCurve: 'P-384' }, true],
  ['a server of TLS 1.3', {}, false],
  ['a server of TLS 1.2', { maxVersion: 'TLSv1.2' }, false],
  ['a server that refuses', { ciphers: 'PSK', maxVersion: 'TLSv1.2' }, false],
] as [string, tls.TlsOptions, boolean][])(
  '%s asks for another hello or not',
  async (_, options, asks) => {
    const answer = await answerTo(hello, options)

    expect(asksForAnotherHello(answer)).toBe(asks)
  },
)

test('it is known as soon as it can be, wherever the bytes are cut', async () => {
  const answer = await answerTo(hello, { ecdhCurve: 'P-384' })

  for (let cut = 0; cut < answer.length; cut++) {
    expect([undefined, true]).toContain(asksForAnotherHello(answer.subarray(0, cut)))
  }
  const inCrumbs = [...answer.subarray(5, 60)].flatMap((byte) => [22, 3, 3, 0, 1, byte])
  expect(asksForAnotherHello(Buffer.from(inCrumbs))).toBe(true)
})

test('something else than TLS asks for nothing', () => {
  expect(asksForAnotherHello(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'))).toBe(false)
})
