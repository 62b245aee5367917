import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { inspect } from 'node:util'
import zlib, { createGzip, gzipSync } from 'node:zlib'
import { afterEach, expect, test, vi } from 'vitest'
import { type OutgoingRequest, send } from '../../host/net/send.ts'
import { packageRoot } from '../../host/package-root.ts'
import { CodingError } from '../../shared/decode-body.ts'
import { type ConnectProxyOptions, startConnectProxy } from './connect-proxy.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  vi.unstubAllEnvs()
  for (const cleanUp of cleanups.splice(0).reverse()) await cleanUp()
})

const fixture = (name: string) => readFileSync(join(packageRoot, 'test', 'fixtures', 'net', name))

/** A service on a port of this machine, that counts its connections. */
async function startService(answer: http.RequestListener, isSecure = false): Promise<Service> {
  const secrets = { key: fixture('key.pem'), cert: fixture('certificate.pem') }
  const server = isSecure ? https.createServer(secrets, answer) : http.createServer(answer)
  const service = { port: 0, url: '', connections: 0 }
  server.on('connection', () => {
    service.connections++
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  service.port = (server.address() as AddressInfo).port
  service.url = `http${isSecure ? 's' : ''}://127.0.0.1:${service.port}/`
  cleanups.push(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return service
}

interface Service {
  port: number
  url: string
  connections: number
}

/** Nothing listens there any more. */
async function unusedUrl(): Promise<string> {
  const server = http.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return `http://127.0.0.1:${port}/`
}

const echo: http.RequestListener = async (request, response) => {
  response.end(`${request.method} ${request.url} ${request.headers.host} ${await text(request)}`)
}

async function startProxy(options: ConnectProxyOptions) {
  const proxy = await startConnectProxy(options)
  cleanups.push(proxy.close)
  return proxy
}

const ask = (url: string, env: NodeJS.Dict<string>, about: Partial<OutgoingRequest> = {}) =>
  send(
    new URL(url),
    {
      method: 'POST',
      headers: {},
      body: 'canary-body',
      signal: new AbortController().signal,
      keepsAlive: false,
      code: 'model-unreachable',
      ...about,
    },
    env,
  )

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'no failure',
    (error: unknown) => error,
  )

test('without a proxy it is a plain request', async () => {
  const { port } = await startService(echo)

  const answer = await ask(`http://127.0.0.1:${port}/a?b=c`, {})

  expect(answer.status).toBe(200)
  expect(await text(answer.body)).toBe(`POST /a?b=c 127.0.0.1:${port} canary-body`)
})

test('with one, it goes through a tunnel, with name and password', async () => {
  const { port } = await startService(echo)
  const proxy = await startProxy({ leadsTo: port, credentials: 'ada:canary%2Fpass' })

  const answer = await ask('http://service.test/a?b=c', { HTTP_PROXY: proxy.url })

  expect(await text(answer.body)).toBe('POST /a?b=c service.test canary-body')
  expect(proxy.tunnels).toEqual(['service.test:80'])
})

test('what NO_PROXY names and what is on this machine goes around it', async () => {
  const { port } = await startService(echo)
  const proxy = await startProxy({ leadsTo: port })
  const env = { HTTP_PROXY: proxy.url, NO_PROXY: 'service.invalid' }

  const answer = await ask(`http://127.0.0.1:${port}/`, env)
  // Nobody knows this name, so without the proxy there is no way to it.
  const error = await failure(ask('http://service.invalid/', env))

  expect(answer.status).toBe(200)
  expect(error).toMatchObject({ message: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/) })
  expect(proxy.tunnels).toEqual([])
})

test.each(['directly', 'through a proxy'])(
  'a connection that may be kept is used again, another is not (%s)',
  async (way) => {
    const service = await startService(echo)
    const proxy = await startProxy({ leadsTo: service.port })
    const url = way === 'directly' ? `http://127.0.0.1:${service.port}/` : 'http://service.test/'

    for (const keepsAlive of [true, true, true, false, false]) {
      const { body } = await ask(url, { HTTP_PROXY: proxy.url }, { keepsAlive })
      await text(body)
      // The connection is free in the turn after the last byte.
      await new Promise(setImmediate)
    }

    // At best the first of those that are not kept is the last on a connection that was.
    expect(service.connections).toBe(way === 'directly' ? 3 : 2)
  },
)

test('an answer is handed on as it comes, through a proxy too', async () => {
  const { port } = await startService((_, response) => {
    response.write('first')
  })
  const proxy = await startProxy({ leadsTo: port })
  const stop = new AbortController()

  const { body } = await ask(
    'http://service.test/',
    { HTTP_PROXY: proxy.url },
    { signal: stop.signal },
  )
  const [chunk] = await once(body, 'data')
  stop.abort()

  expect(String(chunk)).toBe('first')
  await expect(once(body, 'end')).rejects.toThrow()
})

test.each(['directly', 'through a proxy'])(
  'an encoded answer is decoded as it comes (%s)',
  async (way) => {
    const { port } = await startService((_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' })
      const gzip = createGzip()
      gzip.pipe(response)
      gzip.write('first')
      gzip.flush()
    })
    const proxy = await startProxy({ leadsTo: port })
    const stop = new AbortController()
    const url = way === 'directly' ? `http://127.0.0.1:${port}/` : 'http://service.test/'

    const { body } = await ask(url, { HTTP_PROXY: proxy.url }, { signal: stop.signal })
    const [chunk] = await once(body, 'data')

    expect(String(chunk)).toBe('first')
    const ended = once(body, 'close').catch(() => {})
    stop.abort()
    await ended
  },
)

test('zstd is decoded where Node can, and named where it cannot', async () => {
  const frame = Buffer.from('28b52ffd04581100006869fa3826ea', 'hex')
  const { port } = await startService((_, response) => {
    response.writeHead(200, { 'content-encoding': 'zstd' }).end(frame)
  })

  const answer = ask(`http://127.0.0.1:${port}/`, {}).then(({ body }) => text(body))

  if ('createZstdDecompress' in zlib) expect(await answer).toBe('hi')
  else {
    await expect(answer).rejects.toThrow(/encoded as "zstd".*A proxy on the way may have added it/)
  }
})

test.each([
  [304, { etag: '"a"' }],
  [200, { 'content-length': '0' }],
])('an answer without a body has nothing to decode (%d)', async (status, headers) => {
  const { port } = await startService((_, response) => {
    response.writeHead(status, { 'content-encoding': 'gzip', ...headers }).end()
  })

  const { body } = await ask(`http://127.0.0.1:${port}/`, {})

  expect(await text(body)).toBe('')
})

test.each(['gzip', 'deflate', 'br', ...('zstdCompress' in zlib ? ['zstd'] : [])])(
  'bytes that are no %s although they are said to be are an error that says so to their reader',
  async (coding) => {
    const { url } = await startService((_, response) => {
      response.writeHead(200, { 'content-encoding': coding }).end('canary'.repeat(99))
    })

    const { body } = await ask(url, {})

    const error = await failure(text(body))
    expect(error).toBeInstanceOf(CodingError)
    expect(String(error)).toContain(`the answer is encoded as "${coding}", but cannot be decoded`)
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('canary')
  },
)

test('an encoded answer that breaks off is an error to its reader', async () => {
  const { port } = await startService((_, response) => {
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('whole').subarray(0, -9))
  })

  const { body } = await ask(`http://127.0.0.1:${port}/`, {})

  await expect(text(body)).rejects.toThrow('unexpected end of file')
})

test('a signal ends the wait at a proxy that does not answer', async () => {
  const silent = http.createServer()
  silent.on('connect', () => {})
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  cleanups.push(async () => silent.close())
  const { port } = silent.address() as AddressInfo
  const stop = new AbortController()

  const asking = ask(
    'http://service.test/',
    { HTTP_PROXY: `http://127.0.0.1:${port}` },
    { signal: stop.signal },
  )
  const [, socket] = await once(silent, 'connect')
  stop.abort(new Error('Took too long'))

  await expect(asking).rejects.toThrow('Took too long')
  socket.destroy()
})

test.each<[string, Partial<ConnectProxyOptions>, string, RegExp]>([
  ['asks for a password', { credentials: 'ada:canary' }, '', /asks for a name and pass.*NAME:PASS/],
  ['turns a password down', { credentials: 'ada:canary' }, 'ada:canary-wrong@', /does not accept/],
  ['refuses', { status: 403 }, 'ada:canary@', /refused with status 403. Check HTTP_PROXY/],
  ['is in trouble', { status: 502 }, 'ada:canary@', /refused with status 502. Check HTTP_PROXY/],
])(
  'a proxy that %s is named in one sentence, and nothing was sent',
  async (_, kind, given, why) => {
    const service = await startService(echo)
    const proxy = await startProxy({ leadsTo: service.port, ...kind })
    const address = `http://${given}${new URL(proxy.url).host}`

    const error = await failure(ask('http://service.test/', { HTTP_PROXY: address }))

    expect(error).toMatchObject({
      code: 'model-unreachable',
      mayHaveArrived: false,
      message: expect.stringMatching(why),
    })
    expect(String(error)).toContain(
      `Asked http://service.test through the proxy http://${new URL(proxy.url).host}: `,
    )
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('canary')
    expect(service.connections).toBe(0)
  },
)

test('a proxy that is not there is named, without its password', async () => {
  const proxy = await startProxy({ leadsTo: 9 })
  await proxy.close()
  cleanups.pop()
  const { host } = new URL(proxy.url)

  const error = await failure(
    ask('https://service.test/', { HTTPS_PROXY: `http://ada:canary@${host}` }),
  )

  expect(error).toMatchObject({ mayHaveArrived: false })
  expect(String(error)).toMatch(/the proxy cannot be reached \(ECONNREFUSED\)\. Check HTTPS_PROXY/)
  expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('canary')
})

test('who has an advice of its own is told the reason alone, in the words of the system', async () => {
  const { port, url } = await startService((_, response) => void response.destroy())
  const [direct, unused] = [await failure(ask(url, {})), await failure(ask(await unusedUrl(), {}))]

  expect(direct).toMatchObject({ reason: 'socket hang up (ECONNRESET)' })
  expect(unused).toMatchObject({
    reason: expect.stringMatching(/^connect ECONNREFUSED 127.+:\d+$/),
  })
  const proxy = await startProxy({ leadsTo: port })
  const through = await failure(ask('http://service.test/', { HTTP_PROXY: proxy.url }))
  expect(through).toMatchObject({
    reason: expect.stringMatching(
      /^Asked http:\/\/service.test through the proxy http:\S+: [^.]+$/,
    ),
  })
})

test('a proxy that refuses is the whole of the reason, with what to do about it', async () => {
  const { port } = await startService(echo)
  const proxy = await startProxy({ leadsTo: port, status: 403 })

  const error = await failure(ask('http://service.test/', { HTTP_PROXY: proxy.url }))

  expect(error).toMatchObject({ reason: (error as Error).message })
  expect(String(error)).toContain('Check HTTP_PROXY')
})

test('what does not keep to HTTP is said to be perhaps not the service', async () => {
  const { url } = await startService(({ socket }) => void socket.end('SSH-2.0-canary\r\n'))

  const error = await failure(ask(url, {}))

  expect(String(error)).toMatch(
    /: what answers does not keep to HTTP \(HPE_\w+\)\. It may not be the service: check proxy and base URL\.$/,
  )
  expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('canary')
})

test('an address that is none is said by the name of its variable alone', async () => {
  const error = await failure(ask('https://service.test/', { https_proxy: 'ada:canary at home' }))

  expect(error).toMatchObject({ code: 'model-unreachable', mayHaveArrived: false })
  expect(String(error)).toMatch(/https_proxy is no address of an HTTP proxy\. Set https_proxy like/)
  expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('canary')
})

test.each(['directly', 'through a proxy'])(
  'a certificate of a private authority is said with what to do (%s)',
  async (way) => {
    const { port } = await startService(echo, true)
    const proxy = await startProxy({ leadsTo: port })
    const url = way === 'directly' ? `https://127.0.0.1:${port}/` : 'https://service.test/'

    const error = await failure(ask(url, { HTTPS_PROXY: proxy.url }))

    expect(String(error)).toMatch(/no authority that is trusted here.*NODE_EXTRA_CA_CERTS/)
    expect(proxy.tunnels).toEqual(way === 'directly' ? [] : ['service.test:443'])
  },
)

test.each(['directly', 'through a proxy'])(
  'nobody turns off by the environment that certificates are checked (%s)',
  async (way) => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0')
    const asked: (string | undefined)[] = []
    const { port } = await startService(({ url }, response) => {
      asked.push(url)
      response.end()
    }, true)
    const proxy = await startProxy({ leadsTo: port })
    const isDirect = way === 'directly'
    const url = isDirect ? `https://127.0.0.1:${port}/` : 'https://service.test/'

    for (const keepsAlive of [false, true]) {
      const error = await failure(
        ask(url, isDirect ? {} : { HTTPS_PROXY: proxy.url }, { keepsAlive }),
      )
      expect(String(error)).toMatch(/no authority that is trusted here.*NODE_EXTRA_CA_CERTS/)
    }
    expect(asked).toEqual([])
  },
)

test('with a signal that has fired already nothing is sent, on a kept connection either', async () => {
  const asked: (string | undefined)[] = []
  const { port } = await startService((request, response) => {
    asked.push(request.url)
    response.end()
  })
  const get = async (path: string, signal: AbortSignal) => {
    const about = { body: undefined, signal, keepsAlive: true }
    const { body } = await ask(`http://127.0.0.1:${port}${path}`, {}, about)
    await text(body)
    // The connection is free in the turn after the last byte.
    await new Promise(setImmediate)
  }
  const { signal } = new AbortController()

  await get('/before', signal)
  const error = await failure(get('/never', AbortSignal.abort(new Error('Over'))))
  await get('/after', signal)

  expect(error).toMatchObject({ message: expect.stringContaining('Over') })
  expect(asked).toEqual(['/before', '/after'])
})

test('an answer that is an upgrade to another protocol is no answer, and is not waited for', async () => {
  const { url } = await startService(({ socket }) => {
    const head = ['HTTP/1.1 101 Switching Protocols', 'connection: upgrade', 'upgrade: websocket']
    socket.end(`${head.join('\r\n')}\r\n\r\n`)
  })
  const request = {
    method: 'GET',
    headers: {},
    keepsAlive: true,
    code: 'model-unreachable',
  } as const

  await expect(
    send(new URL(url), { ...request, signal: new AbortController().signal }, {}),
  ).rejects.toMatchObject({
    message: expect.stringContaining('socket hang up (ECONNRESET). Check the network'),
    mayHaveArrived: true,
  })
})
