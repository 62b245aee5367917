import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import { describe, expect, test, vi } from 'vitest'
import { serveAgent } from '../../container/agent/agent.ts'
import { parseHostLine, parseRunRequest } from '../../container/agent/run-request.ts'
import { agentFile } from '../../host/package-root.ts'
import { CodexboxError } from '../../shared/errors.ts'
import { HostLine, RunEvent, RunRequest } from '../../shared/protocol.ts'
import { startModelServer } from '../fakes/model-server.ts'
import { aRunRequest } from '../fakes/run-request.ts'

/** Nothing of it, however cut, may come out again. */
const TOKEN = 'q7Wz9Kx2Vb4Jt6Yp'
const piecesOfToken = Array.from({ length: TOKEN.length - 5 }, (_, at) => TOKEN.slice(at, at + 6))
const secrets = { CODEX_ACCESS_TOKEN: TOKEN, CODEX_ACCOUNT_ID: TOKEN }

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** A request in which everything is said that can be said. */
const whole = {
  ...aRunRequest({
    secrets,
    images: ['data:image/png;base64,AAAA'],
    form: { compactAtTokens: 1000, minimalClientVersion: '0.166.0' },
    verbosity: 'low',
    outputSchema: { type: 'object' },
    historyTokens: 7,
    confirmsCalls: true,
    egressSocketPath: '/run/egress.sock',
    toolEnvironment: { GREETING: 'hello' },
    gitConfig: '[user]\n',
    worker: { uid: 1000, gid: 1000 },
  }),
  reasoning: { effort: 'low', summary: 'auto' },
  history: [{ type: 'message', role: 'user' }],
} as unknown as { [key: string]: Json }
const endpoint = { ...(whole.endpoint as object), socketPath: '/run/gateway.sock' }
const request = { ...whole, endpoint } as { [key: string]: Json }

describe('the reader of the container agrees with the schema of the host', () => {
  /** Where something stands in a value: every field and every element. */
  function pathsOf(value: Json, at: string[] = []): string[][] {
    if (typeof value !== 'object' || value === null) return [at]
    return [at, ...Object.entries(value).flatMap(([key, inner]) => pathsOf(inner, [...at, key]))]
  }

  function changed(value: Json, [key, ...rest]: string[], put: Json | undefined): Json {
    if (key === undefined) return put as Json
    const copy = structuredClone(value) as { [key: string]: Json }
    const inner = changed(copy[key] as Json, rest, put)
    if (inner === undefined) delete copy[key]
    else copy[key] = inner
    return copy
  }

  const values: (Json | undefined)[] = [
    undefined,
    null,
    true,
    0,
    1,
    -1,
    1.5,
    2 ** 31,
    1e300,
    '',
    TOKEN,
    '1',
    ` ${TOKEN}`,
    `${TOKEN}\n`,
    `${TOKEN}\r\nhost: elsewhere`,
    `${TOKEN}\u00e4`,
    TOKEN.repeat(5),
    [],
    [TOKEN],
    [null],
    [{ type: 1 }],
    {},
    { type: TOKEN },
    { [TOKEN]: TOKEN },
    { constructor: { type: TOKEN }, hasOwnProperty: 1 },
    JSON.parse(`{"__proto__": {"type": "${TOKEN}"}}`),
  ]

  /** What a reader makes of a line; a refusal is checked for what it says. */
  function outcomeOf(read: (line: string) => unknown, line: string): unknown {
    try {
      return read(line)
    } catch (error) {
      expect(error).toBeInstanceOf(CodexboxError)
      const { code, message, cause } = error as CodexboxError
      expect(code).toBe('request-invalid')
      expect(piecesOfToken.filter((piece) => message.includes(piece))).toEqual([])
      expect(cause).toBeUndefined()
      return 'refused'
    }
  }

  test('on a whole request', () => {
    const read = parseRunRequest(JSON.stringify(request))

    expect(RunRequest.parse(read)).toEqual(RunRequest.parse(request))
    const little = aRunRequest()
    expect(RunRequest.parse(parseRunRequest(JSON.stringify(little)))).toEqual(little)
  })

  test.each(pathsOf(request).map((path) => [path.join('.') || 'the whole line', path] as const))(
    'on %s, whatever stands there',
    (_, path) => {
      for (const value of values) {
        const line = JSON.stringify(changed(request, [...path], value)) ?? ''
        const expected = line === '' ? undefined : RunRequest.safeParse(JSON.parse(line))
        const outcome = outcomeOf(parseRunRequest, line)
        // Stricter it may be: what goes into a header, a timer or a process needs more than a type.
        if (outcome !== 'refused') {
          expect(expected, line).toMatchObject({ success: true })
          expect(RunRequest.parse(outcome), line).toEqual(expected?.data)
        }
      }
    },
  )

  test.each([
    { type: 'prompt', runId: 'run-2', prompt: 'Go on.', secrets },
    { type: 'message', text: 'By the way.' },
    { type: 'secrets', secrets },
    { type: 'kept', seq: 7 },
    { type: 'interrupt' },
    { type: 'close' },
  ] as Json[])('on a later line like %j', (good) => {
    expect(parseHostLine(JSON.stringify(good))).toEqual(good)
    for (const path of pathsOf(good)) {
      for (const value of values) {
        const line = JSON.stringify(changed(good, [...path], value)) ?? ''
        const expected = line === '' ? undefined : HostLine.safeParse(JSON.parse(line))
        const outcome = outcomeOf(parseHostLine, line)
        if (outcome !== 'refused') {
          expect(expected, line).toMatchObject({ success: true })
          expect(HostLine.parse(outcome), line).toEqual(expected?.data)
        }
      }
    }
  })
})

describe('what would do harm where it is used is refused', () => {
  const harmful = (given: object) => () => parseRunRequest(JSON.stringify({ ...request, ...given }))
  const withHeaders = (headers: object) => harmful({ endpoint: { ...endpoint, headers } })
  const withLimits = (limits: object) =>
    harmful({ limits: { ...(request.limits as object), ...limits } })

  test.each([
    ['a header of its own in the token', harmful({ secrets: { CODEX_ACCESS_TOKEN: 'a\r\nb: c' } })],
    [
      'a header of its own in the account',
      harmful({ secrets: { ...secrets, CODEX_ACCOUNT_ID: 'a\nb' } }),
    ],
    ['a header of its own in the conversation', harmful({ conversationId: 'a\r\nb: c' })],
    ['a header of its own in a header', withHeaders({ originator: 'a\r\nb: c' })],
    ['a header of its own in a name', withHeaders({ 'a: b\r\nc': 'd' })],
    ['a header that is a list', withHeaders({ originator: ['a', 'b'] })],
    ['a number as a header', withHeaders({ originator: 1 })],
    ['a time no timer can hold', withLimits({ runMs: 2 ** 31 })],
    ['a user no process can have', harmful({ worker: { uid: 2 ** 31, gid: 0 } })],
    ['a variable without a name', harmful({ toolEnvironment: { '': 'a' } })],
    ['two variables in the name of one', harmful({ toolEnvironment: { 'A=1\0B': '2' } })],
    ['two variables in the value of one', harmful({ toolEnvironment: { A: '1\0B=2' } })],
    ['a file as endpoint', harmful({ endpoint: { ...endpoint, url: 'file:///etc/passwd' } })],
  ])('%s', (_, read) => {
    expect(read).toThrow(expect.objectContaining({ code: 'request-invalid' }))
  })
})

interface Ended {
  code: number | null
  events: RunEvent[]
  ms: number
  /** The most memory it had, as far as it was looked at. */
  peakBytes: number
}

/** Starts the script, writes `input` to its stdin and leaves it open, and waits for the end. */
async function answerTo(input: Iterable<string | Buffer>, { end = false } = {}): Promise<Ended> {
  const started = performance.now()
  const child = spawn(process.execPath, [agentFile], { env: { PATH: process.env.PATH } })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  }
  child.stdin.on('error', () => {}) // It may have seen enough before it has read everything.
  const closed = once(child, 'close')
  let peakBytes = 0
  try {
    for (const chunk of input) {
      const isRoom = child.stdin.write(chunk)
      if (!isRoom) await Promise.race([once(child.stdin, 'drain').catch(() => closed), closed])
      if (child.exitCode !== null) break
      peakBytes = Math.max(peakBytes, peakOf(child.pid))
    }
    if (end) child.stdin.end()
    const [code] = await closed
    const text = output.stdout + output.stderr
    expect(piecesOfToken.filter((piece) => text.includes(piece))).toEqual([])
    expect(output.stderr).toBe('')
    const events = output.stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => RunEvent.parse(JSON.parse(line)))
    return { code, events, ms: performance.now() - started, peakBytes }
  } finally {
    child.kill('SIGKILL')
  }
}

function peakOf(pid: number | undefined): number {
  try {
    const [, kib] = /VmHWM:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
    return Number(kib ?? 0) * 1024
  } catch {
    return 0
  }
}

function expectRefused({ code, events, ms }: Ended): void {
  expect(code).toBe(2)
  expect(events).toMatchObject([
    { type: 'finished', seq: 1, status: 'failed', error: { code: 'request-invalid' } },
  ])
  expect(ms).toBeLessThan(5000)
}

describe.concurrent('a first line that is no request ends the script at once', () => {
  const line = JSON.stringify(request)
  const inside = (open: string, close: string) => open.repeat(1e5) + close.repeat(1e5)
  const withHistory = (item: string) =>
    line.replace('"history":[', `"history":[{"type":"x","deep":${item}},`)

  test.for([
    ['an empty line', ''],
    ['blanks', ' \t '],
    ['half of it', line.slice(0, line.length / 2)],
    ['two documents', line + line],
    ['a document and garbage', `${line} x`],
    ['garbage', `${TOKEN}\u0000\u001b[31m`],
    ['a byte order mark', `\uFEFF${line}`],
    ['UTF-16', Buffer.from(line, 'utf16le')],
    ['a string', JSON.stringify(line)],
    ['null', 'null'],
    ['a list of it', `[${line}]`],
    ['depth without end', '['.repeat(1e5)],
    ['depth of lists', inside('[', ']')],
    ['depth inside an item', withHistory(inside('[', ']'))],
    ['depth of objects inside an item', withHistory(`${'{"a":'.repeat(1e5)}1${'}'.repeat(1e5)}`)],
    ['__proto__ instead of fields', `{"__proto__":${line}}`],
    ['constructor instead of fields', `{"constructor":${line},"prototype":${line}}`],
    ['secrets by __proto__', line.replace(/"secrets":(\{.*?\})/, '"secrets":{"__proto__":$1}')],
    ['a field twice, the second wrong', line.replace(/\}$/, ',"secrets":7}')],
    ['another version', line.replace('"version":1', '"version":2')],
    ['a version that is text', line.replace('"version":1', '"version":"1"')],
    ['a newline in the token', line.replaceAll(TOKEN, `${TOKEN}\\n`)],
    ['CRLF and a header in the token', line.replaceAll(TOKEN, `${TOKEN}\\r\\nhost: x`)],
    ['a blank in the token', line.replaceAll(TOKEN, `${TOKEN} ${TOKEN}`)],
  ] as const)('%s', async ([, first]) => {
    const server = await startModelServer([])
    const text =
      typeof first === 'string' ? first.replaceAll(/http:[^"]*/g, server.endpoint.url) : first
    const ended = await answerTo([text, '\n']).finally(() => server.close())

    expectRefused(ended)
    expect(server.requests).toEqual([])
  })

  test('stdin that closes before a line, and in the middle of one', async () => {
    expectRefused(await answerTo([], { end: true }))
    expectRefused(await answerTo([line], { end: true }))
  })
})

describe('a first line that does not come', () => {
  test.each([
    ['at all', 0],
    ['at a byte per second', 1000],
  ])('%s ends the script within 30 s', async (_, everyMs) => {
    vi.useFakeTimers()
    try {
      const stdin = new PassThrough()
      const drip = everyMs && setInterval(() => stdin.write('{'), everyMs)
      const lines: string[] = []
      const over = serveAgent(stdin, (line) => lines.push(line))

      await vi.advanceTimersByTimeAsync(30_000)

      expect(await over).toBe(2)
      clearInterval(drip)
      expect(lines.map((line) => JSON.parse(line))).toMatchObject([
        {
          type: 'finished',
          error: {
            code: 'request-invalid',
            message: expect.stringContaining('nothing came on stdin for 30 s'),
          },
        },
      ])
    } finally {
      vi.useRealTimers()
    }
  })
})

// By itself: it takes a second of both processors.
test.skipIf(process.platform !== 'linux')(
  'a line of 300 MB is given up in bounded memory',
  async () => {
    const megabyte = Buffer.alloc(1024 * 1024, TOKEN)
    const ended = await answerTo(['{"prompt":"', ...Array(300).fill(megabyte), '"}\n'])

    expectRefused(ended)
    expect(ended.events).toMatchObject([
      { error: { message: expect.stringContaining('is longer than') } },
    ])
    expect(ended.peakBytes).toBeGreaterThan(200 * 1024 * 1024)
    expect(ended.peakBytes).toBeLessThan(400 * 1024 * 1024)
  },
)
