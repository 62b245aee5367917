import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { ModelClient } from '../../container/agent/model-client.ts'
import type { Gateway } from '../../host/gateway/gateway.ts'
import type { RequestLogLine } from '../../host/gateway/request-log.ts'
import { startFlood } from '../fakes/flood.ts'
import { aModelRequest } from '../fakes/gateway-options.ts'
import { closeAll, open, post, startUpstream } from './gateway-scene.ts'

/** At once, and how long one may stay that has no capability. */
const MOST = 64
const UNUSED_MS = 5000

const clients: net.Socket[] = []
const floods: { stop(): void }[] = []
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  for (const flood of floods.splice(0)) flood.stop()
  await closeAll()
})

const socketOf = (gateway: Gateway) => join(gateway.socketFolder, 'gateway.sock')

/** Says `bytes`; reads whatever comes, unless it `isDeaf`. */
function connect(gateway: Gateway, bytes = '', { isDeaf = false, halfCloses = false } = {}) {
  const client = net.connect({ path: socketOf(gateway), allowHalfOpen: true })
  clients.push(client)
  client.on('error', () => {}) // A reset is one way of being dropped.
  if (bytes) client.write(bytes)
  if (halfCloses) client.end()
  if (!isDeaf) client.resume()
  return client
}

function dribble(client: net.Socket): net.Socket {
  const crumbs = setInterval(() => client.write('x'), 1000)
  client.once('close', () => clearInterval(crumbs))
  return client
}

/** That it reads the end does not mean that the other end is gone; that it cannot be written to does. */
const isDropped = (client: net.Socket) =>
  new Promise<boolean>((resolve) => client.write('x', (error) => resolve(Boolean(error))))

const dropped = (client: net.Socket) =>
  new Promise<void>((resolve) => client.once('end', resolve).once('close', resolve))

const head = (capability: string, more = '') =>
  `POST /v1/responses HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer ${capability}\r\n${more}`

const aRequest = (capability: string, body = aModelRequest()) =>
  `${head(capability, `content-length: ${body.length}\r\n`)}\r\n${body}`

const until = async (condition: () => boolean) => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** A gateway whose service thinks until it is told to answer. */
async function openThinking(options: Parameters<typeof open>[1] = {}) {
  const upstream = await startUpstream(() => {})
  const gateway = await open(upstream.url, options)
  return { upstream, gateway, capability: gateway.grant('run') }
}

describe('a connection without a live capability', () => {
  const WRONG = 'wrong'
  const waysToStay: [what: string, begin: (gateway: Gateway) => net.Socket][] = [
    ['says nothing', (gateway) => connect(gateway)],
    ['says half a header', (gateway) => connect(gateway, head(WRONG))],
    [
      'says half a body',
      (gateway) => connect(gateway, `${head(WRONG, 'content-length: 9\r\n')}\r\nhalf`),
    ],
    ['closes its half', (gateway) => connect(gateway, '', { halfCloses: true })],
    [
      'closes its half in a header',
      (gateway) => connect(gateway, head(WRONG), { halfCloses: true }),
    ],
    ['stays after its 403', (gateway) => connect(gateway, aRequest(WRONG))],
    ['stays after its 404', (gateway) => connect(gateway, 'GET / HTTP/1.1\r\nhost: a\r\n\r\n')],
    ['does not read its 403', (gateway) => connect(gateway, aRequest(WRONG), { isDeaf: true })],
    ['does not read its 400', (gateway) => connect(gateway, 'no\r\n\r\n', { isDeaf: true })],
    ['dribbles a header', (gateway) => dribble(connect(gateway, head(WRONG, 'x: ')))],
    [
      'dribbles a body',
      (gateway) => dribble(connect(gateway, `${head(WRONG, 'content-length: 99\r\n')}\r\n`)),
    ],
    [
      'had one that is revoked',
      (gateway) => {
        const capability = gateway.grant('run')
        gateway.revoke(capability)
        return connect(gateway, aRequest(capability))
      },
    ],
  ]

  test('is dropped within seconds, however it keeps still', async () => {
    const { gateway } = await openThinking()
    const all = waysToStay.map(([, begin]) => begin(gateway))

    await new Promise((resolve) => setTimeout(resolve, UNUSED_MS + 1000))

    const stayed = await Promise.all(
      waysToStay.map(async ([what], at) => ((await isDropped(all[at] as net.Socket)) ? '' : what)),
    )
    expect(stayed.filter(Boolean)).toEqual([])
  })

  test('makes room where there are too many, the oldest first', async () => {
    const { gateway, upstream, capability } = await openThinking()
    const silent: net.Socket[] = []
    for (let count = 0; count < MOST; count++) {
      silent.push(connect(gateway))
      await once(silent.at(-1) as net.Socket, 'connect')
    }

    connect(gateway, aRequest(capability))
    await dropped(silent[0] as net.Socket)
    await until(() => upstream.requests.length === 1)

    const others = await Promise.all(silent.slice(1).map(isDropped))
    expect(others).toEqual(Array(MOST - 1).fill(false))
  })

  test.each(['stays', 'leaves'] as const)(
    'keeps no agent out that connects anew for each request, in a flood of what %s',
    async (how) => {
      const upstream = await startUpstream((_, response) => response.end('data: {}\n\n'))
      const gateway = await open(upstream.url)
      const endpoint = {
        url: 'http://gateway/v1/responses',
        socketPath: socketOf(gateway),
        headers: {},
      }
      const secrets = { CODEX_ACCESS_TOKEN: gateway.grant('run') }
      const flood = await startFlood(socketOf(gateway), how)
      floods.push(flood)

      const statuses: string[] = []
      for (let count = 0; count < 50; count++) {
        const client = new ModelClient({ endpoint, conversationId: 'conversation-1' })
        const signal = AbortSignal.timeout(10_000)
        const answer = await client
          .post({ secrets, headers: {}, body: aModelRequest(), signal })
          .catch((error: NodeJS.ErrnoException) => ({ status: error.code, chunks: [] }))
        statuses.push(String(answer.status))
        if ('chunks' in answer) for await (const _ of answer.chunks);
        client.close()
      }

      expect(statuses).toEqual(Array(50).fill('streaming'))
      // That there was a flood: far more connections than the gateway has room for.
      expect(flood.connects).toBeGreaterThan(5 * MOST)
    },
    60_000,
  )
})

describe('a connection with a live capability', () => {
  test('stays, whatever others do: while the model thinks, and between two requests', async () => {
    const { gateway, upstream, capability } = await openThinking()
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    const ask = async () => {
      const options = { socketPath: socketOf(gateway), method: 'POST', agent }
      const request = http.request('http://gateway/v1/responses', options)
      request.setHeader('authorization', `Bearer ${capability}`)
      request.end(aModelRequest())
      const [response] = (await once(request, 'response')) as [http.IncomingMessage]
      response.resume()
      await once(response, 'end')
      return { status: response.statusCode, isSame: request.reusedSocket }
    }
    const crowd = async () => {
      for (let count = 0; count < 2 * MOST; count++) await once(connect(gateway), 'connect')
      await new Promise((resolve) => setTimeout(resolve, UNUSED_MS + 1000))
    }

    const first = ask()
    await until(() => upstream.responses.length === 1)
    await crowd()
    upstream.responses[0]?.end()
    const answers = [await first]
    await crowd()
    const second = ask()
    await until(() => upstream.responses.length === 2)
    upstream.responses[1]?.end()
    answers.push(await second)
    agent.destroy()

    expect(answers).toEqual([
      { status: 200, isSame: false },
      { status: 200, isSame: true },
    ])
  })

  test('is like any other once the capability is revoked', async () => {
    const { gateway, upstream, capability } = await openThinking()
    const client = connect(gateway, aRequest(capability))
    await until(() => upstream.responses.length === 1)
    upstream.responses[0]?.end()
    await once(client, 'data')

    gateway.revoke(capability)

    await dropped(client)
    expect(await isDropped(client)).toBe(true)
  })
})

describe('a request that was begun ends, and is noted,', () => {
  const ways: [how: string, (client: net.Socket, gateway: Gateway, capability: string) => void][] =
    [
      ['when its connection is cut', (client) => client.destroy()],
      ['when its connection is half closed', (client) => client.end()],
      ['when another follows it before its answer', (client, _, c) => client.write(aRequest(c))],
      [
        'when others follow it before its answer, and leave',
        (client, _, c) => client.end(aRequest(c).repeat(3)),
      ],
      [
        'when half of another follows it, and leaves',
        (client, _, c) => client.write(aRequest(c).slice(0, -9), () => client.destroy()),
      ],
      ['when nonsense follows it', (client) => client.write('nonsense\r\n\r\n')],
      ['when its capability is revoked', (_client, gateway, c) => gateway.revoke(c)],
    ]

  test.each(ways)('%s', async (_, leave) => {
    const lines: RequestLogLine[] = []
    const requestLog = { append: (line: RequestLogLine) => void lines.push(line), close: () => {} }
    const { gateway, upstream, capability } = await openThinking({ requestLog })
    const client = connect(gateway, aRequest(capability))
    await until(() => upstream.responses.length === 1)
    const gone = once(upstream.responses[0] as http.ServerResponse, 'close')

    leave(client, gateway, capability)

    await gone
    await until(() => lines.length > 0)
    expect(gateway.usageOf('run')).toMatchObject({ requests: 1, openRequests: 0 })
    expect(lines).toMatchObject([
      { why: expect.stringMatching(/^(given_up|capability_refused): /) },
    ])
    expect((await post(gateway, { capability: 'wrong' })).status).toBe(403)
  })

  test('when two came in one piece, and leave', async () => {
    const lines: RequestLogLine[] = []
    const requestLog = { append: (line: RequestLogLine) => void lines.push(line), close: () => {} }
    const { gateway, capability } = await openThinking({ requestLog })

    connect(gateway, aRequest(capability).repeat(2))
      .once('close', () => {})
      .end()

    await until(() => lines.length > 0)
    expect(gateway.usageOf('run')).toMatchObject({ requests: 1, openRequests: 0 })
  })

  test('when its connection is cut while the token is renewed', async () => {
    const lines: RequestLogLine[] = []
    const requestLog = { append: (line: RequestLogLine) => void lines.push(line), close: () => {} }
    let isAsked = false
    const getSecrets = () => {
      isAsked = true
      return new Promise<never>(() => {})
    }
    const { gateway, capability } = await openThinking({ requestLog, getSecrets })
    const client = connect(gateway, aRequest(capability))
    await until(() => isAsked)

    client.destroy()
    await until(() => lines.length > 0)

    expect(gateway.usageOf('run')).toMatchObject({ requests: 1, openRequests: 0 })
    expect(lines).toMatchObject([{ status: 499, why: expect.stringContaining('given_up') }])
  })

  test('when its body stops and the capability is revoked', async () => {
    const lines: RequestLogLine[] = []
    const requestLog = { append: (line: RequestLogLine) => void lines.push(line), close: () => {} }
    const { gateway, capability } = await openThinking({ requestLog })
    const client = connect(gateway, aRequest(capability).slice(0, -9))
    await until(() => gateway.usageOf('run')?.openRequests === 1)

    gateway.revoke(capability)
    await until(() => lines.length > 0)

    expect(gateway.usageOf('run')).toMatchObject({ requests: 1, openRequests: 0 })
    expect(lines).toMatchObject([
      { status: 403, why: expect.stringContaining('capability_refused') },
    ])
    await dropped(client)
  })
})
