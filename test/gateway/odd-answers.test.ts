import type http from 'node:http'
import { join } from 'node:path'
import zlib, { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { afterEach, expect, test } from 'vitest'
import { askModel } from '../../container/agent/ask-model.ts'
import { ModelClient } from '../../container/agent/model-client.ts'
import { GATEWAY_URL } from '../../host/gateway/gateway.ts'
import type { Item } from '../../shared/items.ts'
import type { Secrets } from '../../shared/secrets.ts'
import { aModelRequest } from '../fakes/gateway-options.ts'
import { completed, created, done, messageItem, sse, textAnswer } from '../fakes/model-server.ts'
import { CANARY, closeAll, open, REAL, startUpstream } from './gateway-scene.ts'

afterEach(closeAll)

type Answer = (response: http.ServerResponse) => void

/** What the agent makes of one answer that comes to it directly, and through the gateway. */
async function asked(answer: Answer, patienceMs = 20_000) {
  const upstream = await startUpstream((_, response) => answer(response))
  return askedAt(upstream.url, patienceMs)
}

async function askedAt(url: URL, patienceMs = 20_000) {
  const gateway = await open(url)
  const socketPath = join(gateway.socketFolder, 'gateway.sock')
  const capability = { CODEX_ACCESS_TOKEN: gateway.grant('run') }
  return {
    direct: await ask({ url: url.href }, REAL, patienceMs),
    sealed: await ask({ url: GATEWAY_URL, socketPath }, capability, patienceMs),
  }
}

async function ask(
  endpoint: { url: string; socketPath?: string },
  secrets: Secrets,
  patienceMs: number,
) {
  const client = new ModelClient({
    endpoint: { headers: {}, ...endpoint },
    conversationId: 'conversation-1',
  })
  const items: Item[] = []
  const reply = await askModel(
    client,
    {
      body: aModelRequest(),
      secrets,
      headers: {},
      limits: { firstEventMs: patienceMs, streamIdleMs: patienceMs },
      signal: new AbortController().signal,
    },
    {
      onHeaders: () => {},
      onEvent: () => {},
      onItem: (item) => items.push(item),
      onText: () => {},
      onReasoning: () => {},
    },
  )
  client.close()
  return { ...reply, items }
}

/** A whole answer with a status. */
const whole =
  (body: string | Buffer, headers: http.OutgoingHttpHeaders = {}, status = 200): Answer =>
  (response) =>
    void response.writeHead(status, headers).end(body)

const STREAM = { 'content-type': 'text/event-stream' }
const JSON_TYPE = { 'content-type': 'application/json' }
const HTML = { 'content-type': 'text/html; charset=UTF-8' }
const stream = (...events: Parameters<typeof sse>[0]) => whole(sse([created, ...events]), STREAM)
const json = (body: unknown, status = 200, headers = {}) =>
  whole(JSON.stringify(body), { ...JSON_TYPE, ...headers }, status)
const encoded = (body: string | Buffer, coding: string, headers = STREAM) =>
  whole(body, { ...headers, 'content-encoding': coding })
const raw =
  (bytes: string): Answer =>
  ({ socket }) =>
    void socket?.end(bytes)
const page = (title: string) => `<!DOCTYPE html><title>${title}</title><p>${CANARY}</p>`
const said = textAnswer('Hello.').body as string

/** Those that this Node knows. */
const CODINGS = ['gzip', 'deflate', 'br', ...('zstdCompress' in zlib ? ['zstd'] : [])]

const PROXY =
  'No encoding was asked for. A proxy on the way may have added it: check proxy and VPN.'
const NETWORK = 'Check the network, VPN and proxy.'
const NO_SERVICE =
  'What answers is no model service: what came in the place of a stream of events is no response. Check proxy and base URL.'

const failures: [what: string, answer: Answer, code: string, remedy: string, message: unknown][] = [
  [
    'a page with status 200',
    whole(page('Welcome'), HTML),
    'model-unreachable',
    'give-up',
    'Not the service but something on the way answered (200): Welcome. If this network has a sign-in page, open it in a browser; else check proxy and base URL.',
  ],
  [
    'a page whose type is in capitals',
    whole(page('Welcome'), { 'content-type': 'Text/HTML' }),
    'model-unreachable',
    'give-up',
    expect.stringMatching(/^Not the service but something on the way answered \(200\): Welcome\./),
  ],
  ['a page without a type', whole(page('Hi')), 'model-unreachable', 'give-up', NO_SERVICE],
  ['a list in JSON', json([]), 'model-unreachable', 'give-up', NO_SERVICE],
  ['JSON of something else', json({ ok: true }), 'model-unreachable', 'give-up', NO_SERVICE],
  [
    'an error in JSON with status 200',
    json({ error: { type: 'usage_limit_reached', plan_type: 'pro' } }),
    'usage-limit',
    'give-up',
    expect.stringMatching(/^The usage limit of the pro plan is reached\./),
  ],
  [
    'a response in JSON that has only begun',
    json({ object: 'response', status: 'queued', output: [] }),
    'model-failed',
    'retry',
    'The service failed while answering: the response is called "queued". Try again later.',
  ],
  [
    'nothing at all',
    whole('', STREAM),
    'stream-cut',
    'retry',
    `The model's answer broke off: the stream ended too early. ${NETWORK}`,
  ],
  [
    'a status without a body',
    whole('', {}, 204),
    'model-unreachable',
    'give-up',
    expect.stringMatching(/^Not the service but something on the way answered \(204\): no reason /),
  ],
  [
    'a failure of an unknown code',
    stream({ type: 'response.failed', response: { error: { code: 'of_2030', message: 'Fuse.' } } }),
    'model-failed',
    'retry',
    'The service failed while answering: Fuse. Try again later.',
  ],
  [
    'a failure without a word',
    stream({ type: 'response.failed' }),
    'model-failed',
    'retry',
    'The service failed while answering: no reason given. Try again later.',
  ],
  [
    'an incomplete answer without a reason',
    stream({ type: 'response.incomplete', response: { incomplete_details: null } }),
    'model-failed',
    'retry',
    'The service ended the answer early: no reason given.',
  ],
  [
    'a completion that calls itself failed',
    stream({
      type: 'response.completed',
      response: { id: 'r', status: 'failed', error: { code: 'insufficient_quota', message: 'No' } },
    }),
    'usage-limit',
    'give-up',
    'The quota is spent: No. Check the plan and its billing.',
  ],
  [
    'a completion that calls itself incomplete',
    stream({
      type: 'response.completed',
      response: { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } },
    }),
    'model-failed',
    'give-up',
    expect.stringMatching(/max_output_tokens/),
  ],
  [
    'a completion whose last newline is missing',
    whole(sse([created, completed]).trimEnd(), STREAM),
    'stream-cut',
    'retry',
    `The model's answer broke off: the stream ended too early. ${NETWORK}`,
  ],
  [
    'a completion that says what it lacks',
    stream(done(messageItem('The first is')), {
      type: 'response.completed',
      response: { incomplete_details: { reason: 'max_output_tokens' } },
    }),
    'model-failed',
    'give-up',
    expect.stringMatching(/max_output_tokens/),
  ],
  [
    'an error event without a type',
    whole('event: error\ndata: {"error":{"code":"insufficient_quota","message":"No"}}\n\n', STREAM),
    'usage-limit',
    'give-up',
    'The quota is spent: No. Check the plan and its billing.',
  ],
  [
    'an error event that is a detail',
    whole('data: {"detail":"No way."}\n\n', STREAM),
    'model-failed',
    'retry',
    'The service failed while answering: No way. Try again later.',
  ],
  ...(['function_call', 'message'] as const).map((type): (typeof failures)[number] => [
    `a completion without the ${type} that had begun`,
    stream(
      { type: 'response.output_item.added', item: { type: 'message' } },
      done(messageItem('I will look.')),
      { type: 'response.output_item.added', item: { type } },
      completed,
    ),
    'stream-cut',
    'retry',
    `The model's answer broke off: what it had begun to say or to call did not come. ${NETWORK}`,
  ]),
  [
    'a redirect',
    whole('', { location: `https://elsewhere.example/?${CANARY}` }, 307),
    'model-unreachable',
    'give-up',
    expect.stringMatching(/^Not the service but something on the way answered \(307\)/),
  ],
  [
    'a challenge of Cloudflare',
    whole(page('Just a moment...'), { ...HTML, 'cf-mitigated': 'challenge', 'cf-ray': 'r' }, 403),
    'model-refused',
    'give-up',
    'Cloudflare, in front of the service, wants a browser to prove itself (403). Wait some minutes, then try without VPN or proxy. (cf-ray r)',
  ],
  ...CODINGS.map((coding): (typeof failures)[number] => [
    `bytes that are no ${coding} although they are said to be`,
    encoded('data: canary\n\n'.repeat(9), coding),
    'model-unreachable',
    'retry',
    expect.stringMatching(
      `^Asked the service: the answer is encoded as "${coding}", but cannot be decoded: [\\w ]+\\. ${PROXY}$`,
    ),
  ]),
  [
    'a stream whose coding breaks in the middle',
    encoded(broken(gzipSync(sse([created, done(messageItem('x'.repeat(99_000)))]))), 'gzip'),
    'model-unreachable',
    'retry',
    expect.stringMatching(/is encoded as "gzip", but cannot be decoded: /),
  ],
  [
    'a coding that nobody knows',
    encoded(said, 'snappy'),
    'model-unreachable',
    'give-up',
    `Asked the service: the answer is encoded as "snappy", which this version of Node cannot decode. ${PROXY}`,
  ],
  ...[gzipSync(said), brotliCompressSync(said), deflateSync(said)].map(
    (bytes, at): (typeof failures)[number] => [
      `a ${['gzip', 'br', 'deflate'][at]} stream that is too short`,
      encoded(bytes.subarray(0, bytes.length / 2), ['gzip', 'br', 'deflate'][at] ?? ''),
      'stream-cut',
      'retry',
      `The model's answer broke off: unexpected end of file (Z_BUF_ERROR). ${NETWORK}`,
    ],
  ),
  [
    'a refusal whose coding is broken',
    whole('canary', { 'content-encoding': 'gzip', 'retry-after': '1' }, 429),
    'rate-limited',
    'retry',
    expect.stringMatching(/^There were too many requests \(429\): the answer is encoded as "gzip"/),
  ],
  [
    'a bomb of JSON',
    encoded(gzipSync(`{${' '.repeat(65 * 1024 * 1024)}`), 'gzip', JSON_TYPE),
    'model-failed',
    'give-up',
    expect.stringMatching(/^What the service sent is no .*: the answer is longer than 67108864 b/),
  ],
  [
    'a refusal that is a bomb',
    whole(gzipSync(Buffer.alloc(20_000_000, 'x')), { 'content-encoding': 'gzip' }, 400),
    'model-refused',
    'give-up',
    `The service refused the request (400): ${'x'.repeat(500)}…`,
  ],
  [
    'a connection that is cut in the middle',
    (response) => {
      response.writeHead(200, STREAM).write(sse([created]), () => response.destroy())
    },
    'stream-cut',
    'retry',
    `The model's answer broke off: aborted (ECONNRESET). ${NETWORK}`,
  ],
  [
    'a connection that is cut where only a newline is missing',
    (response) => {
      const torn = sse([created, completed]).trimEnd()
      response.writeHead(200, STREAM).write(torn, () => response.destroy())
    },
    'stream-cut',
    'retry',
    `The model's answer broke off: aborted (ECONNRESET). ${NETWORK}`,
  ],
  [
    'chunks that are none',
    raw('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\ncanary\r\n'),
    'model-unreachable',
    'retry',
    expect.stringMatching(
      /^What answers does not keep to HTTP: Parse Error: .*\(HPE_\w+\)\. Check/,
    ),
  ],
  [
    'a stream of chunks that are none',
    raw(
      'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\ndata:\r\ncanary\r\n',
    ),
    'model-unreachable',
    'retry',
    expect.stringMatching(
      /^What answers does not keep to HTTP: Parse Error: .*\(HPE_\w+\)\. Check/,
    ),
  ],
  [
    'a stream that is longer than it says',
    raw(`HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 20\r\n\r\n${said}`),
    'model-unreachable',
    'retry',
    expect.stringMatching(
      /^What answers does not keep to HTTP: Parse Error: .*\(HPE_\w+\)\. Check/,
    ),
  ],
  [
    'an upgrade to another protocol',
    raw('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'),
    'model-unreachable',
    'retry',
    'The connection was closed before the service answered: socket hang up (ECONNRESET). Check the network, VPN and proxy.',
  ],
  [
    'no HTTP',
    raw('SSH-2.0-canary\r\n'),
    'model-unreachable',
    'retry',
    expect.stringMatching(
      /^What answers does not keep to HTTP: Parse Error: .*\(HPE_\w+\)\. Check/,
    ),
  ],
  [
    'a connection that is closed at once',
    raw(''),
    'model-unreachable',
    'retry',
    'The connection was closed before the service answered: socket hang up (ECONNRESET). Check the network, VPN and proxy.',
  ],
]

test.each(failures)(
  '%s is told in one way, by the gateway and without it',
  async (_, answer, code, remedy, message) => {
    const { direct, sealed } = await asked(answer)

    expect(direct.failure).toMatchObject({ code, remedy, message })
    expect({ ...sealed.failure, retryAt: 0 }).toEqual({ ...direct.failure, retryAt: 0 })
    expect(JSON.stringify([direct, sealed])).not.toContain(CANARY)
  },
)

test('a service that is not there is told in one way, by the gateway and without it', async () => {
  const upstream = await startUpstream(() => {})
  await upstream.close()
  const { direct, sealed } = await askedAt(upstream.url)

  expect(direct.failure?.message).toMatch(
    /^Nothing listens where the service should be: connect ECONNREFUSED [^.]+\.0\.0\.1:\d+\. Check proxy and base URL\.$/,
  )
  expect(sealed.failure).toEqual(direct.failure)
})

test('silence is told in one way, by the gateway and without it', async () => {
  const silence: Answer = (response) => response.writeHead(200, STREAM).flushHeaders()
  const { direct, sealed } = await asked(silence, 200)

  const message = `The model's answer broke off: nothing came for 0.2 s. ${NETWORK}`
  expect(direct.failure).toEqual({ code: 'stream-cut', remedy: 'retry', message })
  expect(sealed.failure).toEqual(direct.failure)
})

test('a refusal whose text does not come is that refusal', async () => {
  const half: Answer = (response) => response.writeHead(500).write('{"error":')
  const { direct, sealed } = await asked(half, 200)

  const message = 'The service failed (500): no reason given. Try again later.'
  expect(direct.failure).toEqual({ code: 'model-failed', remedy: 'retry', message })
  expect(sealed.failure).toEqual(direct.failure)
})

test.each<[what: string, stream: string]>([
  ['CRLF', sse([created, done(messageItem('Hello.')), completed], '\r\n')],
  ['CR', sse([created, done(messageItem('Hello.')), completed], '\r')],
  ['comments and fields that mean nothing', `: hi\nretry: 1\nid: 7\n\n${said}: bye\n\n`],
  ['data on several lines', said.replaceAll('data: {', 'data: {\ndata: ')],
  ['a byte order mark', `\uFEFF${said}`],
  ['events that nobody knows, and no JSON', `data: [DONE]\n\ndata: {"x":1}\n\n${said}`],
])('a stream with %s is an answer', async (_, text) => {
  const { direct, sealed } = await asked(whole(text, STREAM))

  for (const { failure, items } of [direct, sealed]) {
    expect(failure).toBeUndefined()
    expect(items).toEqual([messageItem('Hello.')])
  }
})

/** The same length, with other bytes in its middle. */
function broken(bytes: Buffer): Buffer {
  const middle = Math.floor(bytes.length / 2)
  return Buffer.from(bytes).fill(0xff, middle, middle + 9)
}
