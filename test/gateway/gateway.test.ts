import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, statSync } from 'node:fs'
import type http from 'node:http'
import net from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import zlib from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { CodexboxError } from '../../shared/errors.ts'
import { UPSTREAM_UNREACHABLE } from '../../shared/gateway-errors.ts'
import type { Secrets } from '../../shared/secrets.ts'
import { aModelRequest } from '../fakes/gateway-options.ts'
import {
  type Exchange,
  type ModelServer,
  messageItem,
  textAnswer,
  USAGE,
} from '../fakes/model-server.ts'
import {
  begin,
  CANARY,
  closeAll,
  open,
  post,
  REAL,
  says,
  send,
  sendRaw,
  startUpstream,
  withModel,
} from './gateway-scene.ts'

const RENEWED: Secrets = { ...REAL, CODEX_ACCESS_TOKEN: `${CANARY}-token-2` }

const MAX_BODY_BYTES = 64 * 1024 * 1024

const UNAUTHORIZED: Exchange = { status: 401, body: { detail: 'Unauthorized' } }

afterEach(closeAll)

test('the body goes out as the agent has written it, and the answer comes back so', async () => {
  const answer = Buffer.from([0, 1, 2, 0xff, 0xfe, 0x0d, 0x0a, 0xc3])
  const upstream = await startUpstream((_, response) => response.end(answer))
  const gateway = await open(upstream.url)
  const body = aModelRequest({ input: [says('\u2028 \ud83d\ude00 \ud83d \0 \\ "')] })

  const reply = await post(gateway, { body })

  expect(reply.status).toBe(200)
  expect(reply.body).toEqual(answer)
  expect(upstream.requests.map((request) => String(request.body))).toEqual([body])
})

test('what goes out is what was checked, however it was written', async () => {
  const upstream = await startUpstream((_, response) => response.end())
  const gateway = await open(upstream.url)
  const written = aModelRequest()
  // The first of two keys counts for some readers, the last for others.
  const twice = `\ufeff {"model":"o9", "store": true,\n"store":true,${written.slice(1)} `.trim()

  const reply = await post(gateway, { body: twice })

  expect(reply.status).toBe(200)
  const [sent] = upstream.requests.map(({ body }) => String(body))
  expect(sent).not.toContain('o9')
  expect(JSON.parse(sent ?? '')).toEqual(JSON.parse(written))
})

test('the stream is handed on as it comes, not when it has ended', async () => {
  const { gateway } = await withModel([{ body: 'data: first\n\n', fault: 'stall' }])

  const { response } = await send(gateway)
  const [chunk] = await once(response, 'data')

  expect(String(chunk)).toBe('data: first\n\n')
  expect(response.complete).toBe(false)
})

test('the headers are handed on before the first byte of the body', async () => {
  const { gateway } = await withModel([{ fault: 'stall' }])

  const { response } = await send(gateway)

  expect(response.statusCode).toBe(200)
})

test('what has come in many pieces goes out in one, every byte of it and in order', async () => {
  const pieces = Array.from({ length: 100 }, (_, count) => `data: ${count}\n\n`)
  const upstream = await startUpstream((_, response) => {
    for (const piece of pieces) response.write(piece)
  })
  const gateway = await open(upstream.url)

  const { response } = await send(gateway)
  const [chunk] = await once(response, 'data')

  expect(String(chunk)).toBe(pieces.join(''))
  expect(response.complete).toBe(false)
})

test('a long answer comes whole, however slowly it is read', async () => {
  const piece = randomBytes(100_000)
  const upstream = await startUpstream((_, response) => {
    for (let count = 0; count < 50; count++) response.write(piece)
    response.end()
  })
  const gateway = await open(upstream.url)

  const { response } = await send(gateway)
  const chunks: Buffer[] = []
  for await (const chunk of response) {
    chunks.push(chunk)
    await new Promise(setImmediate)
  }

  expect(Buffer.concat(chunks).equals(Buffer.concat(Array(50).fill(piece)))).toBe(true)
})

test('nothing is read ahead of a container that reads slowly', async () => {
  const piece = Buffer.alloc(1024 * 1024)
  let pieces = 0
  const upstream = await startUpstream(async (_, response) => {
    while (pieces < 100 && !response.destroyed) {
      pieces++
      if (!response.write(piece)) await once(response, 'drain')
    }
  })
  const gateway = await open(upstream.url)

  const { response } = await send(gateway)
  response.pause()
  let before: number
  do {
    before = pieces
    await sleep(100)
  } while (pieces > before)

  // What the sockets on the way hold, and no more.
  expect(pieces).toBeLessThan(50)
  upstream.responses[0]?.on('error', () => {}).destroy()
})

// ---- what gets out ----

test('the real credentials are put on, and what the container says in headers is dropped', async () => {
  const { gateway, model } = await withModel([textAnswer()], {
    runPolicy: { form: { lite: true, webSearch: false } },
  })
  const hostile = {
    accept: 'text/html',
    'accept-encoding': 'gzip',
    'chatgpt-account-id': 'acc-of-somebody-else',
    'content-type': 'text/html',
    cookie: 'a=b',
    'openai-organization': 'org-1',
    'openai-project': 'proj-1',
    originator: 'somebody_else',
    'proxy-authorization': 'Basic eDp5',
    referer: 'http://evil.example/',
    'user-agent': 'somebody else',
    'x-api-key': 'key',
    'x-forwarded-for': '10.0.0.1',
    'x-http-method-override': 'DELETE',
    'x-openai-actor-authorization': 'token',
    host: 'evil.example',
    te: 'trailers',
    upgrade: 'websocket',
    connection: 'upgrade, session-id',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  }
  const own = {
    'session-id': 'conversation-1',
    'thread-id': 'conversation-1',
    'x-codex-turn-state': 'state-1',
    'x-openai-internal-codex-responses-lite': 'true',
  }

  const body = aModelRequest({ tools: undefined, parallel_tool_calls: false })

  const reply = await post(gateway, { headers: { ...hostile, ...own }, body })

  expect(reply.status).toBe(200)
  const sent = model.requests.map(({ headers }) =>
    Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value])),
  )
  expect(sent).toEqual([
    {
      ...own,
      originator: 'codexbox',
      'user-agent': 'codexbox/test',
      accept: 'text/event-stream',
      'content-type': 'application/json',
      'content-length': `${body.length}`,
      authorization: `Bearer ${REAL.CODEX_ACCESS_TOKEN}`,
      'chatgpt-account-id': REAL.CODEX_ACCOUNT_ID,
      host: new URL(model.endpoint.url).host,
      connection: 'keep-alive',
    },
  ])
})

test('where there is no account id, none goes out, not even the one of the container', async () => {
  const { gateway, model } = await withModel([textAnswer()], {
    getSecrets: async () => ({ CODEX_ACCESS_TOKEN: REAL.CODEX_ACCESS_TOKEN }),
  })

  await post(gateway, { headers: { 'chatgpt-account-id': 'acc-of-somebody-else' } })

  expect(model.requests[0]?.header('authorization')).toBe(`Bearer ${REAL.CODEX_ACCESS_TOKEN}`)
  expect(model.requests[0]?.header('chatgpt-account-id')).toBeUndefined()
})

test('a redirect is not followed: the token does not go where it points', async () => {
  const elsewhere = await startUpstream((_, response) => response.end())
  const { gateway } = await withModel([
    { status: 307, headers: { location: elsewhere.url.href }, body: 'over there' },
  ])

  const reply = await post(gateway)

  expect(reply.status).toBe(307)
  expect(reply.headers).not.toHaveProperty('location')
  expect(elsewhere.requests).toEqual([])
})

// ---- what comes back ----

test('only the response headers on the list come back', async () => {
  const passed = {
    'retry-after': '7',
    'openai-model': 'gpt-5.5',
    'x-request-id': 'req-1',
    'x-oai-request-id': 'req-2',
    'cf-ray': 'ray-1',
    'cf-mitigated': 'challenge',
    'x-models-etag': 'etag-1',
    'x-codex-turn-state': 'state-1',
    'x-codex-primary-used-percent': '12',
    'x-some-model-primary-used-percent': '12',
    'x-some-model-limit-name': 'Some model',
    'x-error-json': 'e30=',
    'x-openai-authorization-error': 'reason',
  }
  const kept = {
    'set-cookie': '__cf_bm=1',
    authorization: `Bearer ${REAL.CODEX_ACCESS_TOKEN}`,
    'openai-organization': 'org-1',
    location: 'http://evil.example/',
    server: 'nginx',
    'x-secret': '1',
  }
  const { gateway } = await withModel([{ ...textAnswer(), headers: { ...passed, ...kept } }])

  const { headers } = await post(gateway)

  const ofTheConnection = ['connection', 'date', 'keep-alive', 'transfer-encoding']
  const fromUpstream = Object.entries(headers).filter(([name]) => !ofTheConnection.includes(name))
  expect(Object.fromEntries(fromUpstream)).toEqual({
    ...passed,
    'content-type': 'text/event-stream',
  })
})

test('a refusal that quotes the request comes back without the credentials in it', async () => {
  const upstream = await startUpstream((request, response) => {
    response.writeHead(400, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ error: { message: 'bad request', headers: request.headers } }))
  })
  const gateway = await open(upstream.url)

  const reply = await post(gateway)

  expect(reply.status).toBe(400)
  expect(reply.text).toContain('bad request')
  expect(reply.text).toContain('"authorization":"Bearer <token>","chatgpt-account-id":"<account>"')
})

test('nor do headers that quote the request, as they are or in base64', async () => {
  const { CODEX_ACCESS_TOKEN: token, CODEX_ACCOUNT_ID: account } = REAL
  const headers = {
    'x-error-json': Buffer.from(`{"sent":"Bearer ${token}"}`).toString('base64'),
    'x-openai-authorization-error': `not good: Bearer ${token}`,
    'x-codex-account': String(account),
    'x-request-id': 'req-1',
  }
  const { gateway } = await withModel([{ status: 400, headers, body: {} }])

  const reply = await post(gateway)

  expect(reply.status).toBe(400)
  expect(Object.keys(reply.headers).filter((name) => name.startsWith('x-'))).toEqual([
    'x-request-id',
  ])
})

test.each([-30, -20, -10, -1, 0, 1, 10])(
  'a refusal that is cut in the middle of a credential has none of it in it (%i)',
  async (offset) => {
    const upstream = await startUpstream((_, response) => {
      response.writeHead(500)
      response.end(`${'a'.repeat(64 * 1024 + offset)}${REAL.CODEX_ACCESS_TOKEN.repeat(3)}`)
    })
    const gateway = await open(upstream.url)

    const reply = await post(gateway)

    expect(reply.text.replace(/^a+/, '')).toSatisfy((rest: string) =>
      '<token>'.repeat(5).startsWith(rest),
    )
  },
)

test('a refusal of any length is cut, not kept', async () => {
  const upstream = await startUpstream((_, response) => {
    response.writeHead(500)
    response.end('a'.repeat(1_000_000))
  })
  const gateway = await open(upstream.url)

  const reply = await post(gateway)

  expect(reply.text).toBe('a'.repeat(64 * 1024))
})

test('what is asked is not sent once its run is over, if it was not all said before', async () => {
  const { gateway, model } = await withModel([])
  const capability = gateway.grant('run')
  const request = begin(gateway, { capability })
  const body = aModelRequest()
  request.setHeader('content-length', body.length)
  request.write(body.slice(0, 10))
  await sleep(50)

  gateway.revoke(capability)
  request.end(body.slice(10))

  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  expect(response.statusCode).toBe(403)
  response.resume()
  expect(model.requests).toEqual([])
})

// ---- who is let in, and to what ----

const refusedRoutes: [what: string, requestLine: string, headers?: string][] = [
  ['another method', 'GET /v1/responses'],
  ['HEAD', 'HEAD /v1/responses'],
  ['OPTIONS', 'OPTIONS /v1/responses'],
  ['DELETE', 'DELETE /v1/responses'],
  ['a method nobody knows', 'PUSH /v1/responses'],
  ['the root', 'POST /'],
  ['another path', 'POST /v1/models'],
  ['a path below', 'POST /v1/responses/compact'],
  ['a slash at the end', 'POST /v1/responses/'],
  ['a second slash', 'POST //v1/responses'],
  ['another case', 'POST /v1/Responses'],
  ['a query', 'POST /v1/responses?store=true'],
  ['an empty query', 'POST /v1/responses?'],
  ['a fragment', 'POST /v1/responses#a'],
  ['a detour over ..', 'POST /v1/x/../responses'],
  ['a detour over ..', 'POST /v1/responses/../../oauth/token'],
  ['percent-encoding', 'POST /v1/%72esponses'],
  ['an encoded slash', 'POST /v1%2fresponses'],
  ['the absolute form', 'POST http://gateway/v1/responses'],
  ['the absolute form to elsewhere', 'POST https://evil.example/v1/responses'],
  ['a tunnel', 'CONNECT chatgpt.com:443'],
  ['an upgrade', 'GET /v1/responses', 'connection: upgrade\r\nupgrade: websocket\r\n'],
  ['two lengths', 'POST /v1/responses', 'content-length: 5\r\n'],
  ['a length and chunks', 'POST /v1/responses', 'transfer-encoding: chunked\r\n'],
  ['a header of 70 KB', 'POST /v1/responses', `x-a: ${'a'.repeat(70_000)}\r\n`],
  ['a folded header', 'POST /v1/responses', 'x-a: 1\r\n\u0000: b\r\n'],
]

test.each(refusedRoutes)(
  '%s is refused, capability or not: %s',
  async (_, requestLine, headers) => {
    const { gateway, model } = await withModel([])

    const answer = await sendRaw(
      gateway,
      `${requestLine} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer ${gateway.grant('run')}\r\n` +
        `connection: close\r\n${headers ?? ''}content-length: 2\r\n\r\n{}`,
    )

    expect(answer).toMatch(/^$|^HTTP\/1.1 4\d\d /)
    expect(model.requests).toEqual([])
  },
)

test('bytes that are no HTTP are refused', async () => {
  const { gateway, model } = await withModel([])

  const answer = await sendRaw(gateway, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello')

  expect(answer).toMatch(/^$|^HTTP\/1.1 400 /)
  expect(model.requests).toEqual([])
})

test('without the capability nothing goes out', async () => {
  const { gateway, model } = await withModel([])
  const { gateway: other } = await withModel([])
  const capability = gateway.grant('run')
  const revoked = gateway.grant('run')
  gateway.revoke(revoked)
  const wrong = [
    undefined,
    '',
    capability,
    'Bearer ',
    `bearer ${capability}`,
    `Basic ${capability}`,
    `Bearer ${capability} `.repeat(2),
    `Bearer ${capability}x`,
    `Bearer ${capability.slice(0, -1)}`,
    `Bearer ${'A'.repeat(capability.length)}`,
    `Bearer ${other.grant('run')}`,
    `Bearer ${revoked}`,
    `Bearer ${REAL.CODEX_ACCESS_TOKEN}`,
  ]

  for (const authorization of wrong) {
    const reply = await post(gateway, {
      capability: undefined,
      headers: authorization === undefined ? {} : { authorization },
    })

    expect(reply.status, authorization).toBe(403)
    expect(JSON.parse(reply.text).error.code).toBe('capability_refused')
  }
  expect(model.requests).toEqual([])
})

test('two capabilities live and die by themselves', async () => {
  const { gateway, model } = await withModel([textAnswer(), textAnswer(), textAnswer()])
  const [first, second] = [gateway.grant('run'), gateway.grant('run')]
  expect(first).not.toBe(second)

  const both = [
    await post(gateway, { capability: first }),
    await post(gateway, { capability: second }),
  ]
  gateway.revoke(first)
  const afterwards = [
    await post(gateway, { capability: first }),
    await post(gateway, { capability: second }),
  ]

  expect(both.map(({ status }) => status)).toEqual([200, 200])
  expect(afterwards.map(({ status }) => status)).toEqual([403, 200])
  expect(model.requests.length).toBe(3)
})

test('a capability has 256 bits', async () => {
  const { gateway } = await withModel([])

  expect(Buffer.from(gateway.grant('run'), 'base64url').length).toBe(32)
})

test('a body up to the limit goes out', async () => {
  const upstream = await startUpstream((_, response) => response.end('fine'))
  const gateway = await open(upstream.url)

  const room = MAX_BODY_BYTES - aModelRequest({ input: [says('')] }).length
  const body = aModelRequest({ input: [says('a'.repeat(room))] })

  const reply = await post(gateway, { body })

  expect(reply.status).toBe(200)
  expect(upstream.requests.map(({ body }) => body.length)).toEqual([MAX_BODY_BYTES])
})

test.each([
  ['a byte too many', 413, 'too_large', MAX_BODY_BYTES + 1],
  ['far too many bytes', 413, 'too_large', MAX_BODY_BYTES * 1.5],
  ['the wrong capability', 403, 'capability_refused', MAX_BODY_BYTES / 8],
])('%s: refused in words that also reach who writes all before reading', async (_, ...expected) => {
  const [status, code, bytes] = expected
  const { gateway, model } = await withModel([])
  const capability = status === 403 ? 'wrong' : gateway.grant('run')
  const socket = net.connect(join(gateway.socketFolder, 'gateway.sock'))

  const written = new Promise<unknown>((resolve) => {
    socket.write(
      `POST /v1/responses HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer ${capability}\r\n` +
        `content-length: ${bytes}\r\n\r\n`,
    )
    socket.write(Buffer.alloc(bytes, 'a'), resolve)
    socket.on('error', resolve)
  })
  expect(await written).toBeFalsy()
  const [answer] = await once(socket, 'data')
  socket.destroy()

  expect(String(answer)).toMatch(new RegExp(`^HTTP/1.1 ${status} .*"code":"${code}"`, 's'))
  expect(model.requests).toEqual([])
})

// ---- a refused token ----

test('a refused token is renewed once and the request repeated once', async () => {
  const asked: (string | undefined)[] = []
  const { gateway, model } = await withModel([UNAUTHORIZED, textAnswer()], {
    getSecrets: async (rejected) => {
      asked.push(rejected)
      return rejected ? RENEWED : REAL
    },
  })

  const reply = await post(gateway)

  expect(reply.status).toBe(200)
  expect(asked).toEqual([undefined, REAL.CODEX_ACCESS_TOKEN])
  expect(model.requests.map((request) => request.header('authorization'))).toEqual([
    `Bearer ${REAL.CODEX_ACCESS_TOKEN}`,
    `Bearer ${RENEWED.CODEX_ACCESS_TOKEN}`,
  ])
  expect(model.requests.map(({ body }) => body)).toEqual(Array(2).fill(JSON.parse(aModelRequest())))
})

test('when the renewed token is refused too, the refusal is the answer', async () => {
  let asked = 0
  const { gateway, model } = await withModel([UNAUTHORIZED, UNAUTHORIZED], {
    getSecrets: async (rejected) => {
      asked++
      return rejected ? RENEWED : REAL
    },
  })

  const reply = await post(gateway)

  expect(reply.status).toBe(401)
  expect(JSON.parse(reply.text)).toEqual(UNAUTHORIZED.body)
  expect(model.requests.length).toBe(2)
  expect(asked).toBe(2)
})

test.each([
  ['gives the same one', async () => REAL],
  [
    'fails',
    async (rejected?: string) => {
      if (!rejected) return REAL
      throw new CodexboxError('not-signed-in', 'The sign-in has expired.')
    },
  ],
])('when the renewal %s, the refusal is the answer at once', async (_, getSecrets) => {
  const { gateway, model } = await withModel([UNAUTHORIZED], { getSecrets })

  const reply = await post(gateway)

  expect(reply.status).toBe(401)
  expect(JSON.parse(reply.text)).toEqual(UNAUTHORIZED.body)
  expect(model.requests.length).toBe(1)
})

test('when the renewal fails for now, that is the answer, which is worth another try', async () => {
  const { gateway } = await withModel([UNAUTHORIZED], {
    getSecrets: async (rejected?: string) => {
      if (!rejected) return REAL
      throw new CodexboxError('refresh-failed', 'The sign-in server cannot be reached.')
    },
  })

  const reply = await post(gateway)

  expect(reply.status).toBe(502)
  expect(JSON.parse(reply.text).error).toMatchObject({
    code: UPSTREAM_UNREACHABLE,
    message: 'The sign-in server cannot be reached.',
  })
})

test('who is not signed in is told so', async () => {
  const { gateway, model } = await withModel([], {
    getSecrets: async () => {
      throw new CodexboxError('not-signed-in', 'Not signed in. Run the sign-in.')
    },
  })

  const reply = await post(gateway)

  expect(reply.status).toBe(401)
  expect(JSON.parse(reply.text).error.message).toBe('Not signed in. Run the sign-in.')
  expect(model.requests).toEqual([])
})

// ---- faults ----

test('a service that cannot be reached is told apart from one that refuses', async () => {
  const gone = await startUpstream(() => {})
  await gone.close()
  const gateway = await open(gone.url)

  const reply = await post(gateway)

  expect(reply.status).toBe(502)
  expect(JSON.parse(reply.text).error).toEqual({
    code: UPSTREAM_UNREACHABLE,
    message: expect.stringContaining('ECONNREFUSED'),
  })
})

test('a service that hangs up without a word counts as not reached', async () => {
  const { gateway } = await withModel([{ fault: 'no-answer' }])

  const reply = await post(gateway)

  expect(reply.status).toBe(502)
  expect(JSON.parse(reply.text).error.code).toBe(UPSTREAM_UNREACHABLE)
})

test.each(['cut', 'reset'] as const)(
  'a stream that breaks off (%s) ends with the reason, and its last event stays none',
  async (fault) => {
    const torn = 'data: first\n\ndata: {"type":"response.completed"}'
    const { gateway } = await withModel([{ body: torn, fault }])

    const { text } = await post(gateway)

    const rest = text.replace(/^data: first\n\n(data: {"type":"response.completed"})?/, '')
    expect(rest).toMatch(/^\ndata: broken off\n\ndata: .*\n\n$/)
    expect(JSON.parse(rest.split('\n\n')[1]?.slice(6) ?? '')).toEqual({
      type: 'error',
      error: { code: UPSTREAM_UNREACHABLE, message: expect.stringContaining('ECONNRESET') },
    })
  },
)

test('a refused token is renewed even if the rest of the refusal cannot be read', async () => {
  const { gateway } = await withModel(
    [{ status: 401, headers: { 'content-encoding': 'gzip' }, body: 'no gzip' }, textAnswer()],
    { getSecrets: async (rejected) => (rejected ? RENEWED : REAL) },
  )

  expect((await post(gateway)).status).toBe(200)
})

test('when the container gives up, the request to the service is given up', async () => {
  const upstream = await startUpstream((_, response) => response.write('data: first\n\n'))
  const gateway = await open(upstream.url)
  const { request, response } = await send(gateway)
  await once(response, 'data')
  const gone = once(upstream.responses[0] as http.ServerResponse, 'close')

  response.on('error', () => {})
  request.destroy()

  await gone
})

test('when the container gives up before an answer, the request is given up as well', async () => {
  const upstream = await startUpstream(() => {})
  const gateway = await open(upstream.url)
  const arrived = once(upstream.server, 'request')
  const request = begin(gateway, {})
  request.on('error', () => {})
  request.end(aModelRequest())
  await arrived
  const gone = once(upstream.responses[0] as http.ServerResponse, 'close')

  request.destroy()

  await gone
})

// ---- the socket ----

test.skipIf(process.platform === 'win32').each(['000', '022', '027', '077', '777'])(
  'the socket is for every user in the container, and its folder for none but us on the host (umask %s)',
  async (umask) => {
    const before = process.umask(Number.parseInt(umask, 8))
    const { gateway } = await withModel([]).finally(() => process.umask(before))

    const mode = (path: string) => statSync(path).mode & 0o777
    expect(mode(join(gateway.socketFolder, 'gateway.sock'))).toBe(0o666)
    expect(mode(gateway.socketFolder)).toBe(0o755)
    expect(mode(dirname(gateway.socketFolder))).toBe(0o700)
  },
)

test('closing ends open streams, at both ends, and removes the folder', async () => {
  const upstream = await startUpstream((_, response) => response.write('data: first\n\n'))
  const gateway = await open(upstream.url)
  const { response } = await send(gateway)
  await once(response, 'data')
  const cut = expect(once(response, 'end')).rejects.toMatchObject({ code: 'ECONNRESET' })
  const gone = once(upstream.responses[0] as http.ServerResponse, 'close')

  await gateway.close()

  await cut
  await gone
  expect(existsSync(dirname(gateway.socketFolder))).toBe(false)
})

test.each(['gzip', 'deflate', 'br', 'gzip, br'])(
  'an answer that comes as %s is passed on as plain events, and counted',
  async (encoding) => {
    const answer = textAnswer()
    const { gateway } = await withModel([{ ...answer, encoding }])

    const reply = await post(gateway)

    expect(reply.text).toBe(answer.body)
    expect(reply.headers).not.toHaveProperty('content-encoding')
    expect(gateway.usageOf('run')).toMatchObject({ tokens: 120, bytesDown: reply.body.length })
  },
)

test('a refusal that comes as gzip is passed on in plain words, without the credentials', async () => {
  const error = { message: `Not with ${REAL.CODEX_ACCESS_TOKEN}.` }
  const { gateway } = await withModel([{ status: 400, body: { error }, encoding: 'gzip' }])

  expect((await post(gateway)).text).toBe('{"error":{"message":"Not with <token>."}}')
})

test('an answer in a coding that cannot be undone is refused with its name', async () => {
  const { gateway } = await withModel([{ ...textAnswer(), encoding: 'snappy' }])

  const { status, text } = await post(gateway)

  expect(status).toBe(502)
  expect(text).toMatch(/encoded as ..snappy.., which this version of Node cannot decode/)
})

test('a response that comes at once, as JSON, is passed on as events, and counted', async () => {
  const body = {
    object: 'response',
    status: 'completed',
    output: [messageItem('Hi.')],
    usage: USAGE,
  }
  const { gateway } = await withModel([{ body }])

  const { text } = await post(gateway)

  expect(text).toMatch(/^data: .*output_text.delta.*\n\ndata: .*item.done.*\n\ndata: .*completed/)
  expect(gateway.usageOf('run')).toMatchObject({ tokens: 120 })
})

describe('a long body', () => {
  const canEncode = 'zstdCompress' in zlib
  const long = () => aModelRequest({ input: [says('x'.repeat(100_000))] })
  const encodings = ({ requests }: ModelServer) =>
    requests.map((request) => request.header('content-encoding'))

  test('goes out as zstd where Node can and the service takes it, and arrives as it was', async () => {
    const { gateway, model } = await withModel([textAnswer(), textAnswer()], { takesZstd: true })

    expect((await post(gateway, { body: long() })).status).toBe(200)
    expect((await post(gateway, { body: aModelRequest() })).status).toBe(200)

    expect(encodings(model)).toEqual([canEncode ? 'zstd' : undefined, undefined])
    expect(JSON.stringify(model.requests[0]?.body)).toBe(long())
  })

  test('goes out as it is to a server of which that is not known', async () => {
    const { gateway, model } = await withModel([textAnswer()])

    expect((await post(gateway, { body: long() })).status).toBe(200)
    expect(encodings(model)).toEqual([undefined])
  })

  test.runIf(canEncode)('goes out as it is once the service has refused the coding', async () => {
    const script = [{ status: 415, body: { detail: 'zstd?' } }, textAnswer(), textAnswer()]
    const { gateway, model } = await withModel(script, { takesZstd: true })

    expect((await post(gateway, { body: long() })).status).toBe(200)
    expect((await post(gateway, { body: long() })).status).toBe(200)

    expect(encodings(model)).toEqual(['zstd', undefined, undefined])
  })
})
