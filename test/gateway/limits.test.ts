import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import type http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openDebugLog } from '../../host/debug-log.ts'
import type { Gateway } from '../../host/gateway/gateway.ts'
import { openRequestLog, type RequestLogLine } from '../../host/gateway/request-log.ts'
import { budgetOf } from '../../host/gateway/run-budget.ts'
import { BUDGET_SPENT, POLICY_REFUSED } from '../../shared/gateway-errors.ts'
import { aModelRequest } from '../fakes/gateway-options.ts'
import { type Exchange, textAnswer } from '../fakes/model-server.ts'
import {
  CANARY,
  closeAll,
  open,
  post,
  REAL,
  says,
  send,
  startUpstream,
  withModel,
} from './gateway-scene.ts'

let dataDir = ''
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'codexbox-data-'))
})
afterEach(async () => {
  await closeAll()
  rmSync(dataDir, { recursive: true, force: true })
})

const codeOf = ({ text }: { text: string }) => JSON.parse(text).error.code
const accountOf = (gateway: Gateway) => gateway.usageOf('run')

// ---- what is asked ----

test('what the policy refuses is told to the container, and to nobody else', async () => {
  const { gateway, model } = await withModel([])
  const refused = [
    aModelRequest({ model: 'gpt-5.5-pro' }),
    aModelRequest({ tools: [{ type: 'mcp', server_url: 'https://evil.example/' }] }),
    aModelRequest({ store: true }),
    aModelRequest({ previous_response_id: 'resp_1' }),
    aModelRequest({ input: [{ type: 'item_reference', id: 'msg_1' }] }),
    '{}',
    'nonsense',
  ]

  for (const body of refused) {
    const reply = await post(gateway, { body })

    expect(reply.status, body).toBe(400)
    expect(codeOf(reply)).toBe(POLICY_REFUSED)
    expect(reply.headers).not.toHaveProperty('retry-after')
  }
  expect(model.requests).toEqual([])
  expect(accountOf(gateway)).toMatchObject({
    refusals: refused.length,
    answers: 0,
    openRequests: 0,
  })
})

test.each([
  ['session-id', 'conversation-2'],
  ['thread-id', ''],
  ['thread-id', 'conversation-1, conversation-2'],
  ['x-openai-internal-codex-responses-lite', 'true'],
  ['version', '0.171.0'],
])('the header %s: %j is refused', async (name, value) => {
  const { gateway, model } = await withModel([])

  const reply = await post(gateway, { headers: { [name]: value } })

  expect(reply.status).toBe(400)
  expect(codeOf(reply)).toBe(POLICY_REFUSED)
  expect(model.requests).toEqual([])
})

// ---- how much is asked ----

test('a run has so many requests, whatever became of them, and then no more', async () => {
  const { gateway, model } = await withModel([textAnswer(), { status: 500, body: {} }], {
    budget: { requests: 3 },
  })
  const [first, second] = [gateway.grant('run'), gateway.grant('run')]

  await post(gateway, { capability: first })
  await post(gateway, { capability: first, body: 'nonsense' })
  await post(gateway, { capability: second })
  const refused = [
    await post(gateway, { capability: first }),
    await post(gateway, { capability: second }),
    await post(gateway, { capability: gateway.grant('run') }),
  ]

  expect(refused.map(({ status }) => status)).toEqual([429, 429, 429])
  expect(refused.map(codeOf)).toEqual([BUDGET_SPENT, BUDGET_SPENT, BUDGET_SPENT])
  expect(model.requests.length).toBe(2)
})

test('the next run has a budget of its own', async () => {
  const { gateway } = await withModel([textAnswer(), textAnswer()], { budget: { requests: 1 } })

  await post(gateway)
  const refused = await post(gateway)
  const next = await post(gateway, { capability: gateway.grant('next run') })

  expect([refused.status, next.status]).toEqual([429, 200])
})

test('a run has so many requests under way, and again when one has ended', async () => {
  const upstream = await startUpstream((_, response) => response.write('data: first\n\n'))
  const gateway = await open(upstream.url, { budget: { concurrent: 2 } })
  const under = [await send(gateway), await send(gateway)]

  const refused = await post(gateway)
  const ended = once(under[0]?.response as http.IncomingMessage, 'end')
  under[0]?.response.resume()
  upstream.responses[0]?.end()
  await ended
  const { response } = await send(gateway)

  expect(refused.status).toBe(429)
  expect(refused.text).toContain('2 requests under way')
  expect(response.statusCode).toBe(200)
})

test('of hundreds of requests at once only a few go out', async () => {
  const upstream = await startUpstream(() => {})
  const gateway = await open(upstream.url)
  const capability = gateway.grant('run')
  const body = aModelRequest()
  const request =
    `POST /v1/responses HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer ${capability}\r\n` +
    `content-length: ${body.length}\r\n\r\n${body}`

  const sockets = Array.from({ length: 500 }, () => {
    const socket = net.connect(join(gateway.socketFolder, 'gateway.sock'))
    socket.on('error', () => {}) // Some are not taken at all.
    socket.write(request)
    return socket
  })
  // Either an answer or the end: neither of it comes to the ones that are under way.
  let settled = 0
  await new Promise<void>((resolve) => {
    for (const socket of sockets) {
      const settle = () => {
        socket.removeAllListeners('data').removeAllListeners('close')
        settled++
        if (settled === sockets.length - 4) resolve()
      }
      socket.once('data', settle).once('close', settle)
    }
  })

  expect(upstream.responses.length).toBe(4)
  for (const socket of sockets) socket.destroy()
})

test('bytes are counted on the way up, of what is refused as well', async () => {
  const { gateway, model } = await withModel([textAnswer()], { budget: { bytesUp: 1000 } })

  await post(gateway)
  const { bytesUp } = accountOf(gateway) ?? {}
  const tooMuch = await post(gateway, { body: aModelRequest({ input: [says('a'.repeat(1000))] }) })
  const small = await post(gateway)

  expect(bytesUp).toBe(aModelRequest().length)
  expect([tooMuch.status, small.status]).toEqual([429, 429])
  expect(model.requests.length).toBe(1)
})

test('an answer without end is cut where the budget ends', async () => {
  const piece = Buffer.alloc(64 * 1024)
  const upstream = await startUpstream(async (_, response) => {
    while (!response.destroyed) if (!response.write(piece)) await once(response, 'drain')
  })
  const gateway = await open(upstream.url, { budget: { bytesDown: 1024 * 1024 } })

  const { response } = await send(gateway)
  response.resume()

  await expect(once(response, 'end')).rejects.toMatchObject({ code: 'ECONNRESET' })
  expect((await post(gateway)).status).toBe(429)
  expect(accountOf(gateway)?.bytesDown).toBeLessThan(2 * 1024 * 1024)
})

test('when its time is over a capability is not good any more, and what is under way ends', async () => {
  const upstream = await startUpstream((_, response) => response.write('data: first\n\n'))
  const gateway = await open(upstream.url, { budget: { ms: 500 } })
  const capability = gateway.grant('run')

  const { response } = await send(gateway, { capability })
  response.resume()

  await expect(once(response, 'end')).rejects.toMatchObject({ code: 'ECONNRESET' })
  expect((await post(gateway, { capability })).status).toBe(403)
})

test('a revoked capability ends what is under way, after a moment to end by itself', async () => {
  const upstream = await startUpstream((_, response) => response.write('data: first\n\n'))
  const gateway = await open(upstream.url)
  const capability = gateway.grant('run')
  const [nearlyDone, endless] = [
    await send(gateway, { capability }),
    await send(gateway, { capability }),
  ]
  const gone = once(upstream.responses[1] as http.ServerResponse, 'close')

  gateway.revoke(capability)
  endless.response.resume()
  nearlyDone.response.resume()
  upstream.responses[0]?.end('data: last\n\n')

  await once(nearlyDone.response, 'end')
  await expect(once(endless.response, 'end')).rejects.toMatchObject({ code: 'ECONNRESET' })
  await gone
})

test('a budget leaves room for every run within its limits', () => {
  const { requests, tokens, ms } = budgetOf({ maxTurns: 200, runMs: 3_600_000 })

  expect(requests).toBeGreaterThan(200 * 6)
  expect(tokens).toBeGreaterThan(200 * 400_000)
  expect(ms).toBeGreaterThan(3_600_000 + 30_000)
})

// ---- the book of requests ----

const linesOf = (file: string) =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as RequestLogLine)

const UNAUTHORIZED: Exchange = { status: 401, body: { detail: 'Unauthorized' } }

test('each request is a line, with nothing of what was said and no secret', async () => {
  const requestLog = openRequestLog(dataDir)
  const { gateway } = await withModel([textAnswer('Private words.'), UNAUTHORIZED], { requestLog })
  const asked = aModelRequest({ input: [says('More private words.')] })

  await post(gateway, { body: asked })
  await post(gateway)
  await post(gateway, { body: aModelRequest({ store: 'Private words.' }) })
  await post(gateway, { capability: 'wrong' })
  requestLog.close()

  const file = join(dataDir, 'requests.jsonl')
  const lines = linesOf(file)
  expect(lines).toMatchObject([
    {
      at: expect.stringMatching(/^\d{4}-.*Z$/),
      conversation: 'conversation-1',
      run: 'run',
      model: 'gpt-5.5',
      status: 200,
      bytesUp: asked.length,
      bytesDown: String(textAnswer('Private words.').body).length,
      tokens: { input: 100, cached: 60, output: 20 },
      firstByteMs: expect.any(Number),
      ms: expect.any(Number),
    },
    { status: 401, tokens: { input: 0, cached: 0, output: 0 } },
    {
      status: 400,
      why: expect.stringContaining('policy_refused: This run may not ask that: store'),
    },
  ])
  const text = readFileSync(file, 'utf8')
  expect(text).not.toMatch(/private words/i)
  expect(text).not.toContain(CANARY)
  if (process.platform !== 'win32') expect(statSync(file).mode & 0o777).toBe(0o600)
})

test('who goes on asking when there is no more does not fill the book', async () => {
  const lines: RequestLogLine[] = []
  const requestLog = { append: (line: RequestLogLine) => void lines.push(line), close: () => {} }
  const { gateway } = await withModel([textAnswer()], { requestLog, budget: { requests: 1 } })

  for (let count = 0; count < 5; count++) await post(gateway)

  expect(lines.map(({ status }) => status)).toEqual([200, 429])
})

test('a book that has grown long begins anew; one that cannot be kept stops nobody', () => {
  const file = join(dataDir, 'requests.jsonl')
  const line = { run: 'run' } as RequestLogLine
  writeFileSync(file, 'a'.repeat(5 * 1024 * 1024))

  const requestLog = openRequestLog(dataDir)
  requestLog.append(line)
  requestLog.close()
  requestLog.append(line)
  const nowhere = openRequestLog(join(dataDir, 'missing'))
  nowhere.append(line)
  nowhere.close()

  expect(linesOf(file)).toEqual([line])
  expect(statSync(`${file}.old`).size).toBe(5 * 1024 * 1024)
})

// ---- the log for finding faults ----

test('what goes out and comes back is written down when asked for, with every secret masked', async () => {
  const file = join(dataDir, 'debug.jsonl')
  const debug = openDebugLog(file)
  const echo: Exchange = { status: 400, body: { error: { message: REAL.CODEX_ACCESS_TOKEN } } }
  const { gateway } = await withModel([UNAUTHORIZED, textAnswer(), echo, { fault: 'no-answer' }], {
    debug,
    getSecrets: async (rejected) =>
      rejected ? { ...REAL, CODEX_ACCESS_TOKEN: `${CANARY}-token-2` } : REAL,
  })
  const quoting = aModelRequest({ input: [says(`It is ${REAL.CODEX_ACCESS_TOKEN}.`)] })

  await post(gateway, { body: quoting })
  await post(gateway)
  await post(gateway)
  debug.close()

  const text = readFileSync(file, 'utf8')
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines.map(({ id, type }) => `${id} ${type}`)).toEqual([
    ...['1 request', '1 headers', '1 end'],
    ...['2 request', '2 headers', '2 first-bytes', '2 end'],
    ...['3 request', '3 headers', '3 end'],
    ...['4 request', '4 end'],
  ])
  expect(lines[1]).toMatchObject({ status: 401 })
  expect(lines[6].bytes).toBe(String(textAnswer().body).length)
  expect(lines[3].body).toContain('It is <masked>.')
  expect(text).not.toContain(CANARY)
})
