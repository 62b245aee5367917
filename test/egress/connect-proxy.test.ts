import { once } from 'node:events'
import { statSync } from 'node:fs'
import net, { type AddressInfo, type Socket } from 'node:net'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { type EgressBench, openEgressBench, realHello, SERVICE } from './egress-bench.ts'

const benches: EgressBench[] = []
const clients: Socket[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  for (const bench of benches.splice(0)) await bench.close()
})

async function open(options: Parameters<typeof openEgressBench>[0] = {}): Promise<EgressBench> {
  const bench = await openEgressBench(options)
  benches.push(bench)
  return bench
}

const hello = await realHello({ servername: SERVICE })

/** A listed host that plays along with a tool. Resolves with its port. */
async function hostThat(serve: (socket: Socket) => void): Promise<number> {
  const server = net.createServer((socket) => {
    clients.push(socket)
    socket.on('error', () => {})
    serve(socket)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close())
  return (server.address() as AddressInfo).port
}

const connectTo = (target: string, more = '') => `CONNECT ${target} HTTP/1.1\r\n${more}\r\n`

describe('a host that is listed', () => {
  test('is reached by TLS from end to end, and the host is told', async () => {
    const bench = await open()

    const bodies = await Promise.all(['/one', '/two'].map((path) => bench.get(path)))

    expect(bodies).toEqual(['served /one', 'served /two'])
    await bench.told(2)
    expect(bench.targets[0]).toEqual({
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      target: `${SERVICE}:443`,
      bytesUp: expect.any(Number),
      bytesDown: expect.any(Number),
      ms: expect.any(Number),
    })
    const [{ bytesUp, bytesDown } = { bytesUp: 0, bytesDown: 0 }] = bench.targets
    expect(bytesUp).toBeGreaterThan(100)
    expect(bytesDown).toBeGreaterThan(100)
  })

  test.each(['SERVICE.Test:443', `${SERVICE}.:443`])('is the same as %s', async (target) => {
    const bench = await open()

    const { status, client } = await bench.ask(connectTo(target))
    client.destroy()

    expect(status).toBe(200)
    expect(bench.lookups).toEqual([SERVICE])
  })

  test('gets what was sent along with the request', async () => {
    const bench = await open()

    const { status, client } = await bench.ask(
      `${connectTo(`${SERVICE}:443`)}${hello.toString('latin1')}`,
    )
    const [answer] = await once(client, 'data')
    client.destroy()

    expect(status).toBe(200)
    // The hello of the server.
    expect(answer[0]).toBe(22)
    await bench.told(1)
    expect(bench.targets[0]?.bytesUp).toBe(hello.length)
  })

  test('is what counts, whatever the headers say', async () => {
    const bench = await open()
    const headers =
      'host: evil.example:443\r\nx-forwarded-host: evil.example\r\ncontent-length: 5\r\n' +
      'proxy-authorization: Basic eDp5\r\n'

    const { status, client } = await bench.ask(connectTo(`${SERVICE}:443`, headers))
    client.destroy()

    expect(status).toBe(200)
    expect(bench.lookups).toEqual([SERVICE])
  })

  test('can be used from the socket by anybody who can get at its folder', async () => {
    const bench = await open()

    expect(statSync(bench.socketPath).mode & 0o777).toBe(0o666)
  })
})

describe('what is not listed', () => {
  test.each([
    'evil.example:443',
    `evil.${SERVICE}:443`,
    `${SERVICE}.evil.example:443`,
    `evil.example#.${SERVICE}:443`,
    `${SERVICE}:443@evil.example:443`,
    `${SERVICE}@evil.example:443`,
    `evil.example/${SERVICE}:443`,
    `evil.example?${SERVICE}:443`,
    `evil.example%00.${SERVICE}:443`,
    `evil.example,${SERVICE}:443`,
    `${SERVICE}..:443`,
    `.${SERVICE}:443`,
    `*.test:443`,
    ':443',
    SERVICE,
    `${SERVICE}:`,
    `${SERVICE}:80`,
    `${SERVICE}:22`,
    `${SERVICE}:0`,
    `${SERVICE}:0443`,
    `${SERVICE}:65979`,
    `${SERVICE}:443443`,
    `${SERVICE}:-443`,
    `${SERVICE}:443:443`,
    `https://${SERVICE}:443`,
    `https://${SERVICE}/`,
    '/',
    '*',
    '127.0.0.1:443',
    '127.1:443',
    '2130706433:443',
    '0x7f000001:443',
    '0x7f.0.0.1:443',
    '017700000001:443',
    '0:443',
    'localhost:443',
    '169.254.169.254:443',
    '2852039166:443',
    'metadata.google.internal:443',
    '8.8.8.8:443',
    '[::1]:443',
    '[::ffff:127.0.0.1]:443',
    '[fd00:ec2::254]:443',
    `${'a'.repeat(4000)}:443`,
  ])('is refused before any name is looked up: %s', async (target) => {
    const bench = await open()

    const { status, text } = await bench.ask(connectTo(target, `host: ${SERVICE}:443\r\n`))

    // The parser of HTTP has turned it down, or we have.
    expect([400, 403]).toContain(status)
    expect(bench.lookups).toEqual([])
    expect(bench.served).toEqual([])
    if (status === 403) {
      expect(text).toContain(`only https (CONNECT, port 443) to: ${SERVICE}`)
      await bench.told(1)
      expect(bench.targets).toMatchObject([
        { target: target.slice(0, 100), why: expect.any(String) },
      ])
    }
  })

  test.each([
    ['spaces', `CONNECT ${SERVICE}:443 evil.example:443 HTTP/1.1\r\n\r\n`],
    ['a carriage return', `CONNECT evil.example:443\r${SERVICE}:443 HTTP/1.1\r\n\r\n`],
    ['a NUL', `CONNECT evil.example\0${SERVICE}:443 HTTP/1.1\r\n\r\n`],
    ['bytes that are no ASCII', `CONNECT \xe4.${SERVICE}:443 HTTP/1.1\r\n\r\n`],
    ['another protocol', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['SOCKS', '\x05\x01\x00\r\n\r\n'],
    ['headers without end', `CONNECT ${SERVICE}:443 HTTP/1.1\r\nx: ${'x'.repeat(100_000)}`],
    ['many headers', `CONNECT ${SERVICE}:443 HTTP/1.1\r\n${'x: y\r\n'.repeat(5000)}`],
    [
      'two lengths',
      'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n',
    ],
    ['a chunk of junk', 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n'],
    ['a header across two lines', `CONNECT ${SERVICE}:443 HTTP/1.1\r\nhost:\r\n evil: x\r\n\0\r\n`],
  ])('is turned away with %s', async (_, request) => {
    const bench = await open()

    const { status } = await bench.ask(request)

    expect(status === 0 || status >= 400).toBe(true)
    expect(bench.lookups).toEqual([])
  })

  test.each([
    `GET http://${SERVICE}/?key=canary HTTP/1.1\r\nhost: ${SERVICE}\r\n\r\n`,
    `GET http://user:canary@${SERVICE}/ HTTP/1.1\r\nhost: ${SERVICE}\r\n\r\n`,
    `POST https://${SERVICE}/ HTTP/1.1\r\nhost: ${SERVICE}\r\ncontent-length: 1\r\n\r\nx`,
    `GET / HTTP/1.1\r\nhost: ${SERVICE}\r\n\r\n`,
    `GET / HTTP/1.1\r\nhost: ${SERVICE}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`,
    `OPTIONS * HTTP/1.1\r\nhost: ${SERVICE}\r\n\r\n`,
  ])('is everything but CONNECT, which is said: %j', async (request) => {
    const bench = await open()

    // A second request on the same connection gets nothing.
    const { status, text } = await bench.ask(`${request}${connectTo(`${SERVICE}:443`)}`)

    expect(status).toBe(403)
    expect(text).toContain('plain http is not let through')
    expect(text).toContain(`to: ${SERVICE}`)
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1)
    expect(bench.lookups).toEqual([])
    await bench.told(1)
    expect(JSON.stringify(bench.targets)).not.toContain('canary')
  })
})

describe('what is in a tunnel', () => {
  test.each([
    ['TLS with another name', () => realHello({ servername: 'evil.example' }), 'another name'],
    ['TLS with no name', () => realHello({}), 'another name'],
    ['plain http', async () => Buffer.from(`GET / HTTP/1.1\r\nhost: ${SERVICE}\r\n\r\n`), 'no TLS'],
    ['SSH', async () => Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'), 'no TLS'],
    ['a tunnel in it', async () => Buffer.from(connectTo('evil.example:443')), 'no TLS'],
    ['crumbs of TLS', async () => hello, 'crumbs'],
    ['nothing', async () => Buffer.alloc(0), 'the client sent no TLS hello'],
  ])('is TLS with the host that was asked for, not %s', async (what, bytesOf, why) => {
    const bench = await open({ limits: { stepMs: 1000 } })
    const bytes = await bytesOf()
    const { status, client } = await bench.ask(connectTo(`${SERVICE}:443`))
    const got: Buffer[] = []
    client.on('data', (chunk) => got.push(chunk))

    const crumb = what.startsWith('crumbs') ? 1 : bytes.length || 1
    const closed = new Promise((resolve) => client.once('close', resolve))
    for (let at = 0; at < bytes.length && !client.destroyed; at += crumb) {
      client.write(bytes.subarray(at, at + crumb))
      if (crumb === 1) await new Promise(setImmediate)
    }
    await closed

    expect(status).toBe(200)
    // The end is said in the language of TLS, and nothing came from the server.
    expect(Buffer.concat(got)).toEqual(Buffer.from([21, 3, 3, 0, 2, 2, 49]))
    expect(bench.served).toEqual([])
    await bench.told(1)
    expect(bench.targets).toMatchObject([{ why: expect.stringContaining(why), bytesUp: 0 }])
  })

  // A server that lacks the group of the first hello's key asks for a second hello, and goes by its name.
  const oneGroup = { tlsOptions: { ecdhCurve: 'P-384' } }

  test('may take a second hello, where the server asks for one', async () => {
    const bench = await open(oneGroup)

    expect(await bench.get('/')).toBe('served /')
    expect(bench.targets[0]?.why).toBeUndefined()
  })

  test.each([
    ['when it is asked for', false],
    ['before it is asked for', true],
  ])('is with nobody else by a second hello, said %s', async (_, isEarly) => {
    const bench = await open(oneGroup)
    const { client } = await bench.ask(connectTo(`${SERVICE}:443`))
    const second = await realHello({ servername: 'evil.example', ecdhCurve: 'P-384' })
    const got: Buffer[] = []
    const closed = new Promise((resolve) => client.once('close', resolve))

    client.write(isEarly ? Buffer.concat([hello, second]) : hello)
    client.on('data', (chunk) => {
      got.push(chunk)
      if (!isEarly && got.length === 1) client.write(second)
    })
    await closed

    // The server's word to try again, and ours in the place of its next.
    expect(Buffer.concat(got).subarray(-7)).toEqual(Buffer.from([21, 3, 3, 0, 2, 2, 49]))
    await bench.told(1)
    expect(bench.targets).toMatchObject([
      { why: expect.stringContaining('another name'), bytesUp: hello.length },
    ])
  })

  test.each<[what: string, before: number[]]>([
    ['a warning', [21, 3, 3, 0, 2, 1, 112]],
    ['a change of ciphers', [20, 3, 3, 0, 1, 1]],
    [
      'both, twice',
      [21, 3, 3, 0, 2, 1, 0, 20, 3, 3, 0, 1, 1, 20, 3, 1, 0, 1, 1, 21, 3, 1, 0, 2, 1, 90],
    ],
  ])(
    'is with nobody else where the server says %s before it asks for a second hello',
    async (_, before) => {
      const real = await open(oneGroup)
      const port = await hostThat((socket) => {
        const onward = net.connect(real.port, '127.0.0.1')
        socket.once('close', () => onward.destroy())
        socket.write(Buffer.from(before))
        onward.pipe(socket).pipe(onward)
      })
      const bench = await open({ way: { port } })
      const { client } = await bench.ask(connectTo(`${SERVICE}:443`))
      const second = await realHello({ servername: 'evil.example', ecdhCurve: 'P-384' })
      const got: Buffer[] = []
      const closed = new Promise((resolve) => client.once('close', resolve))

      client.write(hello)
      client.on('data', (chunk) => got.push(chunk))
      await until(() => Buffer.concat(got).length > before.length)
      client.write(second)
      await closed

      expect(Buffer.concat(got).subarray(-7)).toEqual(Buffer.from([21, 3, 3, 0, 2, 2, 49]))
      await bench.told(1)
      expect(bench.targets).toMatchObject([
        { why: expect.stringContaining('another name'), bytesUp: hello.length },
      ])
    },
  )

  test.each<[what: string, record: number[], why: string]>([
    ['empty records', [22, 3, 3, 0, 0], 'the host answered is no TLS'],
    ['alerts', [21, 3, 3, 0, 2, 1, 0], 'the host answered comes in crumbs'],
    ['changes of ciphers', [20, 3, 3, 0, 1, 1], 'the host answered comes in crumbs'],
    ['empty data', [23, 3, 3, 0, 0], 'the host answered is no TLS'],
    ['plain text', [...Buffer.from('HTTP/1.1 400 Bad Request\r\n')], 'the host answered is no TLS'],
  ])('is not an answer of nothing but %s, which takes no memory', async (_, one, why) => {
    const flood = Buffer.concat(Array(10_000).fill(Buffer.from(one)))
    const port = await hostThat((socket) => {
      const more = () => {
        while (!socket.destroyed && socket.write(flood));
      }
      socket.on('drain', more).once('data', more)
    })
    const bench = await open({ way: { port } })
    const { arrayBuffers: before } = process.memoryUsage()
    let most = before

    for (let count = 0; count < 20; count++) {
      const { client } = await bench.ask(connectTo(`${SERVICE}:443`))
      const closed = new Promise((resolve) => client.once('close', resolve))
      client.on('data', () => {
        most = Math.max(most, process.memoryUsage().arrayBuffers)
      })
      client.write(hello)
      await closed
    }

    await bench.told(20)
    for (const target of bench.targets) {
      expect(target.why).toContain(why)
      // What was read in one go.
      expect(target.bytesDown).toBeLessThan(1024 * 1024)
    }
    expect((most - before) / 1024 / 1024).toBeLessThan(16)
  })

  test.each<[what: string, record: number[]]>([
    ['empty data', [23, 3, 3, 0, 0]],
    ['changes of ciphers', [20, 3, 3, 0, 1, 1]],
  ])('is not %s without end in the place of a second hello', async (_, one) => {
    const bench = await open(oneGroup)
    const { client } = await bench.ask(connectTo(`${SERVICE}:443`))
    const closed = new Promise((resolve) => client.once('close', resolve))

    client.write(hello)
    await once(client, 'data')
    client.write(Buffer.concat(Array(1000).fill(Buffer.from(one))))
    client.resume()
    await closed

    await bench.told(1)
    expect(bench.targets).toMatchObject([
      { why: expect.stringContaining('comes in crumbs'), bytesUp: hello.length },
    ])
  })

  test('is a hello that is cheap to read, however it is cut', async () => {
    const bench = await open()
    // One record for each byte, as many as a hello may have.
    const crumbs = Buffer.concat(
      [...hello.subarray(5)].map((byte) => Buffer.from([22, 3, 1, 0, 1, byte])),
    )
    const { client } = await bench.ask(connectTo(`${SERVICE}:443`))
    const closed = new Promise((resolve) => client.once('close', resolve))

    client.write(crumbs)
    client.resume()
    await closed

    await bench.told(1)
    expect(bench.targets).toMatchObject([
      { why: expect.stringContaining('comes in crumbs'), bytesUp: 0 },
    ])
  })

  test('may come in pieces', async () => {
    const bench = await open()
    const { client } = await bench.ask(connectTo(`${SERVICE}:443`))

    for (const piece of [hello.subarray(0, 3), hello.subarray(3, 100), hello.subarray(100)]) {
      await new Promise((resolve) => client.write(piece, resolve))
    }
    const [answer] = await once(client, 'data')
    client.destroy()

    expect(answer[0]).toBe(22)
  })
})

describe('what a name leads to', () => {
  test.each([
    ['a private address', ['10.0.0.1']],
    ['a public and a private one', ['127.0.0.1', '10.0.0.1']],
    ['a private and a public one', ['fd00::1', '127.0.0.1']],
    ['something that is no address', ['leads.elsewhere']],
  ])('is all looked at: %s', async (_, addresses) => {
    const bench = await open()
    bench.resolve = async () => addresses

    const { status, text } = await bench.ask(connectTo(`${SERVICE}:443`))

    expect(status).toBe(403)
    expect(text).toContain('does not lead to the public internet')
    // How names lead within the host's network is not for the container to know.
    expect(text).not.toContain(addresses.find((address) => address !== '127.0.0.1'))
    await bench.told(1)
    expect(bench.targets[0]?.why).toContain('is not of the test')
  })

  test.each(['127.0.0.1', '169.254.169.254', '::1', '::ffff:127.0.0.1', '0.0.0.0'])(
    'may not be %s by the policy that holds outside of tests',
    async (address) => {
      const { addressRefusal } = await import('../../host/net/public-address.ts')
      const bench = await open({ way: { refusal: (each) => addressRefusal(each) } })
      bench.resolve = async () => [address]

      expect(await bench.get('/')).toBe('no tunnel: 403')
      expect(bench.served).toEqual([])
    },
  )

  test('is connected to as it was looked at: a name that leads elsewhere the next time is looked at again', async () => {
    const bench = await open()
    const answers = [['127.0.0.1'], ['10.0.0.1'], ['127.0.0.1']]
    bench.resolve = async () => answers.shift() ?? []

    const bodies = [await bench.get('/1'), await bench.get('/2'), await bench.get('/3')]

    expect(bodies).toEqual(['served /1', 'no tunnel: 403', 'served /3'])
    // Once for each tunnel: there is no second look between the check and the connection.
    expect(bench.lookups).toHaveLength(3)
  })

  test('is looked up once for all that ask at the same time', async () => {
    const bench = await open()
    let answer: (addresses: string[]) => void = () => {}
    bench.resolve = () => new Promise((resolve) => (answer = resolve))

    const asking = Array.from({ length: 20 }, () => bench.ask(connectTo(`${SERVICE}:443`)))
    // Those before have been read when the answers to these are there.
    for (let at = 0; at < 3; at++) await bench.ask(connectTo('evil.example:443'))
    answer(['127.0.0.1'])
    const answers = await Promise.all(asking)
    for (const { client } of answers) client.destroy()

    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200))
    expect(bench.lookups).toEqual([SERVICE])
  })

  test.each([
    [
      'a name that is not there',
      () => Promise.reject(new Error('ENOTFOUND of the test')),
      'looked up',
    ],
    ['no addresses', async () => [], 'looked up'],
    ['a name service that keeps still', () => new Promise<string[]>(() => {}), 'looked up'],
  ])('can fail to be known: %s', async (_, resolve, why) => {
    const bench = await open({ limits: { stepMs: 300 } })
    bench.resolve = resolve

    const { status, text } = await bench.ask(connectTo(`${SERVICE}:443`))

    expect(status).toBe(502)
    expect(text).toContain(why)
  })

  test('can be an address where nobody listens, and another that is tried then', async () => {
    const bench = await open({ way: { refusal: () => undefined } })
    bench.resolve = async () => ['::1', '127.0.0.1']
    const reached = await bench.get('/')
    bench.resolve = async () => ['::1']
    const { status } = await bench.ask(connectTo(`${SERVICE}:443`))

    expect(reached).toBe('served /')
    expect(status).toBe(502)
  })
})

describe('there is an end to', () => {
  test('how long it may take to say what is wanted', async () => {
    const bench = await open({ limits: { stepMs: 300 } })

    const startedAt = performance.now()
    const { status } = await bench.ask(`CONNECT ${SERVICE}:443 HTTP/1.1\r\nx: `)

    expect(status === 0 || status === 408).toBe(true)
    expect(performance.now() - startedAt).toBeLessThan(10_000)
  })

  test('tunnels in which nothing moves', async () => {
    const bench = await open({ limits: { idleMs: 300 } })

    const { status, client } = await bench.ask(connectTo(`${SERVICE}:443`))
    client.write(hello)
    client.resume()
    await once(client, 'close')

    expect(status).toBe(200)
    await bench.told(1)
    expect(bench.targets[0]).toMatchObject({ bytesUp: hello.length })
  })

  test('a client that goes on talking after it was refused', async () => {
    const bench = await open({ limits: { stepMs: 300 } })
    const client = net.connect({ path: bench.socketPath, allowHalfOpen: true })
    clients.push(client)
    const closed = new Promise((resolve) => client.once('close', resolve))

    client.on('error', () => {})
    client.write(connectTo('evil.example:443'))
    const [answer] = await once(client, 'data')
    client.resume()
    const talking = setInterval(() => client.write('x'), 50)
    await closed
    clearInterval(talking)

    expect(String(answer)).toContain(' 403 ')
  })

  test('bytes, of all tunnels together', async () => {
    let taken = 0
    const port = await hostThat((socket) => {
      socket.on('data', (chunk) => {
        taken += chunk.length
      })
      // A ServerHello, as far as anybody but its client has to read it.
      socket.write(Buffer.concat([Buffer.from([22, 3, 3, 0, 38, 2, 0, 0, 34]), Buffer.alloc(34)]))
    })
    const bench = await open({ limits: { bytesUp: 100_000 }, way: { port } })
    const { client } = await bench.ask(connectTo(`${SERVICE}:443`))
    const closed = new Promise((resolve) => client.once('close', resolve))
    client.resume()

    client.write(hello)
    client.write(Buffer.alloc(1_000_000))
    await closed
    const { status, text } = await bench.ask(connectTo(`${SERVICE}:443`))

    expect(status).toBe(403)
    expect(text).toContain('as many bytes as it may')
    // What was read in one go with the last byte that was allowed.
    expect(taken).toBeLessThan(300_000)
  })

  test('are opened in bounded number, because each of them is taken down', async () => {
    const bench = await open({ limits: { tunnels: 2 } })

    const answers = [await bench.get('/1'), await bench.get('/2'), await bench.get('/3')]

    expect(answers).toEqual(['served /1', 'served /2', 'no tunnel: 403'])
    await bench.told(3)
    expect(bench.targets[2]?.why).toContain('as many tunnels as it may')
  })

  test('are counted from the moment that the host is connected, whether or not anything is said in them', async () => {
    const bench = await open({ limits: { tunnels: 2 } })

    const answers = []
    for (let i = 0; i < 3; i++) answers.push(await bench.ask(connectTo(`${SERVICE}:443`)))

    expect(answers.map(({ status }) => status)).toEqual([200, 200, 403])
  })

  test('connections: a thousand at once take nothing from this process but their number', async () => {
    const bench = await open({ limits: { connections: 10 } })
    let ended = 0
    const all = Array.from({ length: 1000 }, () => {
      const client = net.connect(bench.socketPath)
      clients.push(client)
      client.on('error', () => {})
      client.once('close', () => ended++)
      client.resume()
      return client
    })
    await until(() => ended >= 990)

    expect(all.filter((client) => !client.destroyed).length).toBeLessThanOrEqual(10)
    for (const client of all) client.destroy()
    await until(() => ended === 1000)
    // The places of those that left are free again.
    expect(await retried(() => bench.get('/after'))).toBe('served /after')
  })

  test.each([
    ['says nothing', ''],
    ['says half of what it wants', `CONNECT ${SERVICE}:443 HTTP/1.1\r\nx: `],
    ['stays after its 403', `GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n`],
    ['was refused', connectTo('evil.example:443')],
    ['never begins to talk in its tunnel', connectTo(`${SERVICE}:443`)],
  ])('a connection that %s', async (_, bytes) => {
    const bench = await open({ limits: { stepMs: 300 } })
    const client = net.connect({ path: bench.socketPath, allowHalfOpen: true })
    clients.push(client)
    client.on('error', () => {})
    client.write(bytes)

    client.resume()
    await new Promise((resolve) => client.once('end', resolve).once('close', resolve))
    // Its end might be that of one half; that it cannot be written to is the end of both.
    await until(() => {
      client.write('x')
      return client.destroyed
    })
  })

  test('silence: who says nothing keeps nobody out, and a tunnel makes no room', async () => {
    const bench = await open({ limits: { connections: 10 } })
    const { client: tunnel } = await bench.ask(connectTo(`${SERVICE}:443`))
    const isSilent = () => {
      const client = net.connect(bench.socketPath)
      clients.push(client)
      client.on('error', () => {})
      return once(client, 'connect')
    }

    for (let count = 0; count < 30; count++) await isSilent()
    const body = await bench.get('/')
    tunnel.write(hello)
    const [answer] = await once(tunnel, 'data')
    tunnel.destroy()

    expect(body).toBe('served /')
    expect(answer[0]).toBe(22)
  })

  test('all of it, when it is closed', async () => {
    const bench = await openEgressBench()
    const { client } = await bench.ask(connectTo(`${SERVICE}:443`))
    const closed = once(client, 'close')
    client.resume()

    await bench.close()

    await closed
    expect(() => statSync(bench.socketPath)).toThrow('ENOENT')
  })
})

test('both ends may leave at any moment', async () => {
  const bench = await open()

  for (let at = 0; at < 50; at++) {
    const client = net.connect(bench.socketPath)
    client.on('error', () => {})
    client.write(connectTo(`${SERVICE}:443`).repeat(1 + (at % 2)))
    if (at % 3) await once(client, 'readable')
    client.destroy()
  }

  expect(await bench.get('/still-there')).toBe('served /still-there')
})

test('a client may leave before it is refused, with a second request behind the first', async () => {
  const bench = await open()
  const plain = 'GET http://evil.example/ HTTP/1.1\r\nhost: evil.example\r\n\r\n'

  for (let at = 0; at < 20; at++) {
    const client = net.connect(bench.socketPath)
    await once(client, 'connect')
    client.write(plain + connectTo(`${SERVICE}:443`))
    client.destroy()
    // The answer to the first is written to nobody then, which must not end this process.
    await bench.told(at + 1)
  }

  expect(await bench.get('/still-there')).toBe('served /still-there')
})

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}

async function retried(attempt: () => Promise<string>): Promise<string> {
  for (let left = 50; ; left--) {
    try {
      return await attempt()
    } catch (error) {
      if (left === 0) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}
