import { once } from 'node:events'
import type http from 'node:http'
import { afterEach, expect, test } from 'vitest'
import type { Gateway } from '../../host/gateway/gateway.ts'
import type { RequestLogLine } from '../../host/gateway/request-log.ts'
import { estimatedTokens, LARGEST_CONTEXT, UsageMeter } from '../../host/gateway/usage-meter.ts'
import { aModelRequest } from '../fakes/gateway-options.ts'
import { type Exchange, textAnswer } from '../fakes/model-server.ts'
import { begin, closeAll, open, post, send, startUpstream, withModel } from './gateway-scene.ts'

afterEach(closeAll)

const accountOf = (gateway: Gateway) => gateway.usageOf('run')

const COMPLETED =
  'event: response.completed\r\ndata: {"type":"response.completed","response":{"usage":' +
  '{"input_tokens":100,"input_tokens_details":{"cached_tokens":60},"output_tokens":20}}}\r\n\r\n'
const FIGURES = { input: 100, cached: 60, output: 20 }

test('tokens are counted from the streams that pass by', async () => {
  const { gateway } = await withModel([textAnswer(), textAnswer()], { budget: { tokens: 200 } })

  await post(gateway)
  const { tokens } = accountOf(gateway) ?? {}
  await post(gateway)

  expect(tokens).toBe(120)
  expect(accountOf(gateway)?.tokens).toBe(240)
  expect((await post(gateway)).text).toContain('200 tokens')
})

test('the figures are read wherever the stream is cut', () => {
  const bytes = Buffer.from(`data: {"type":"a","delta":"\\"usage\\" \u20ac"}\n\n${COMPLETED}`)

  for (let cut = 0; cut <= bytes.length; cut++) {
    const meter = new UsageMeter()
    meter.see(bytes.subarray(0, cut))
    meter.see(bytes.subarray(cut))
    expect(meter.tokens).toEqual(FIGURES)
  }
})

test.each([
  '',
  'data: {"usage"\n',
  'data: "usage"\n',
  'data: null\n',
  'data: {"response":{"usage":null}}\n',
  'data: {"response":{"usage":{"input_tokens":-1,"output_tokens":"5"}}}\n',
  'data: {"response":{"usage":{"input_tokens":1e400,"input_tokens_details":null}}}\n',
  `${'a'.repeat(1000)}`,
])('what are no figures counts as none: %j', (stream) => {
  const meter = new UsageMeter()
  meter.see(Buffer.from(stream))

  expect(Object.values(meter.tokens ?? {}).filter(Boolean)).toEqual([])
})

test('of several figures in one piece, the last that are any count', () => {
  const other = COMPLETED.replace('100', '1')
  const meter = new UsageMeter()
  meter.see(Buffer.from(`${other}${COMPLETED}data: {"usage"\ndata: {"usage":`))

  expect(meter.tokens).toEqual(FIGURES)
})

test('a line that names figures over and over is read once', () => {
  const tools = Array(200_000).fill('{"usage":1}').join()
  const line = `data: {"tools":[${tools}],"response":{"usage":{"input_tokens":100}}}\n`
  const meter = new UsageMeter()
  meter.see(Buffer.from(line))

  expect(meter.tokens).toEqual({ input: 100, cached: 0, output: 0 })
})

// ---- where no figures come ----

const FIRST = 'data: first\n\n'
const BODY = aModelRequest()

/** One request of a conversation with a service that begins an answer, and how it ends. */
async function oneRequest(
  leave: (begun: {
    gateway: Gateway
    capability: string
    request: http.ClientRequest
    answer: http.ServerResponse
  }) => void,
  { first = FIRST, ...options }: { first?: string } & Parameters<typeof open>[1] = {},
) {
  const lines: RequestLogLine[] = []
  const requestLog = { append: (line: RequestLogLine) => void lines.push(line), close: () => {} }
  const upstream = await startUpstream((_, response) => response.write(first))
  const gateway = await open(upstream.url, { requestLog, ...options })
  const capability = gateway.grant('run')
  const { request, response } = await send(gateway, { capability, body: BODY })
  response.on('error', () => {})
  await once(response, 'data')
  response.resume()

  leave({ gateway, capability, request, answer: upstream.responses[0] as http.ServerResponse })

  while (lines.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  return { gateway, line: lines[0] as RequestLogLine }
}

test.each<[how: string, leave: Parameters<typeof oneRequest>[0], why: RegExp | undefined]>([
  ['the container gives up', ({ request }) => request.destroy(), /^given_up: /],
  ['is revoked', ({ gateway, capability }) => gateway.revoke(capability), /^capability_refused: /],
  ['is cut off', ({ answer }) => answer.destroy(), /^upstream_unreachable: /],
  ['ends without figures', ({ answer }) => answer.end(), undefined],
])('a request that %s counts as what it may have cost, which is noted', async (_, leave, why) => {
  const { gateway, line } = await oneRequest(leave)

  expect(line).toMatchObject({ status: 200, bytesUp: BODY.length, bytesDown: FIRST.length })
  expect(line.estimated).toBe(true)
  if (why) expect(line.why).toMatch(why)
  else expect(line).not.toHaveProperty('why')
  const { input, cached, output } = line.tokens
  expect([input, cached]).toEqual([BODY.length, 0])
  expect(output).toBeGreaterThanOrEqual(FIRST.length)
  expect(accountOf(gateway)?.tokens).toBe(input + output)
})

test('so does one that is given up while the model thinks, and more so the longer it does', async () => {
  const lines: RequestLogLine[] = []
  const requestLog = { append: (line: RequestLogLine) => void lines.push(line), close: () => {} }
  const upstream = await startUpstream(() => {})
  const gateway = await open(upstream.url, { requestLog })
  const request = begin(gateway, {})
  request.on('error', () => {})
  request.end(BODY)
  while (upstream.responses.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))

  await new Promise((resolve) => setTimeout(resolve, 300))
  request.destroy()
  while (lines.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))

  expect(lines).toMatchObject([{ status: 499, estimated: true, tokens: { input: BODY.length } }])
  expect(lines[0]?.tokens.output).toBeGreaterThan(400)
})

test('requests that are given up use up the tokens of a run', async () => {
  const upstream = await startUpstream((_, response) => response.write(FIRST))
  const gateway = await open(upstream.url, { budget: { tokens: 5 * BODY.length } })
  const statuses: (number | undefined)[] = []

  for (let count = 0; count < 6; count++) {
    const { request, response } = await send(gateway)
    statuses.push(response.statusCode)
    response.on('error', () => {})
    request.destroy()
    while (accountOf(gateway)?.openRequests) await new Promise((resolve) => setTimeout(resolve, 5))
  }

  expect(statuses.at(-1)).toBe(429)
  expect(upstream.requests.length).toBeLessThan(6)
})

test('figures that have come count, however the request ends', async () => {
  const { line } = await oneRequest(({ request }) => request.destroy(), { first: COMPLETED })

  expect(line).toMatchObject({ why: expect.stringContaining('given_up'), tokens: FIGURES })
  expect(line).not.toHaveProperty('estimated')
})

test.each([
  ['refuses', { status: 429, body: {} } satisfies Exchange],
  ['does not answer', { fault: 'no-answer' } satisfies Exchange],
])('what the service %s costs nothing', async (_, exchange) => {
  const lines: RequestLogLine[] = []
  const requestLog = { append: (line: RequestLogLine) => void lines.push(line), close: () => {} }
  const { gateway } = await withModel([exchange], { requestLog })

  await post(gateway)

  expect(lines).toMatchObject([{ tokens: { input: 0, cached: 0, output: 0 } }])
  expect(lines[0]).not.toHaveProperty('estimated')
})

test('a request that may search the web counts as a whole context, since pages may have been read', () => {
  const { input } = estimatedTokens({ bytesUp: 9, bytesDown: 0, ms: 0, webSearch: true })

  expect(input).toBe(LARGEST_CONTEXT)
})

test('no request counts as more than a context', () => {
  for (const [bytesUp, bytesDown, ms, webSearch] of [
    [0, 0, 1e12, false],
    [9e9, 9e9, 0, false],
    [900_000, 900_000, 0, false],
    [900_000, 900_000, 0, true],
  ] as const) {
    const { input, output } = estimatedTokens({ bytesUp, bytesDown, ms, webSearch })
    expect(input + output).toBe(LARGEST_CONTEXT)
  }
})
