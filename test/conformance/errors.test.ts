import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Exchange } from '../fakes/model-server.ts'
import { failedAnswer, itemsAnswer, textAnswer } from '../fakes/model-server.ts'
import { ConformanceTable } from './conformance-table.ts'
import { heldAgainst, PATIENCE_MS, type ReplayOptions } from './held-against.ts'
import { outline } from './outline.ts'
import {
  addedItems,
  type Cleanup,
  doneItems,
  eventsOf,
  expectBackoff,
  expectWaited,
  type Played,
  play,
  recording,
  shownText,
  start,
  usageOf,
} from './replay.ts'

const failures = new ConformanceTable('Errors and retries')

const ONE_LAYER =
  'The official client repeats inside each repetition, 30 requests in all. Six are enough to be sure, and spare a service in trouble.'
const COMPACTED =
  'The conversation is compacted and the question asked again, where the official client leaves that to the user.'
const SHORTENED = itemsAnswer([
  { type: 'compaction', id: 'cmp_1', encrypted_content: 'gAAAA-compaction' },
])
const MAKES_ROOM: ReplayOptions = {
  why: { requests: COMPACTED, 'sent back': COMPACTED, end: COMPACTED },
  beyond: [SHORTENED, textAnswer()],
}
const OTHER_REGION = 'Which region a request came from does not change within seconds.'
const NO_NOTE =
  'The official client tells the model that its answer was filtered; codexbox repeats the request as it was.'

const PATIENTLY = { timeout: PATIENCE_MS }

const replay = (t: Cleanup, name: string, options?: ReplayOptions) =>
  heldAgainst(t, failures, name, options)

const delaysOf = ({ agent }: Played) => eventsOf(agent, 'retry').map((retry) => retry.delayMs)

// First, since it takes longest.
describe.concurrent('given up after five retries', PATIENTLY, () => {
  test('32-429-plain-retry-after: each wait is the one the service asked for', async (t) => {
    const scene = await replay(t, '32-429-plain-retry-after')

    expect(scene.server.requests).toHaveLength(scene.recorded.requests)
    expect(delaysOf(scene)).toEqual([2000, 2000, 2000, 2000, 2000])
    expectWaited(scene)
    expect(scene.finished).toMatchObject({ status: 'failed', error: { code: 'rate-limited' } })
  })

  // The official client repeats inside each repetition and asks 30 times; six are enough to be sure.
  test('41-500-always: six requests, not thirty', async (t) => {
    const scene = await replay(t, '41-500-always', {
      why: { requests: `${ONE_LAYER} Its waits begin anew after every fifth request.` },
    })

    expect(scene.recorded.requests).toBe(30)
    expect(scene.server.requests).toHaveLength(6)
    expectBackoff(delaysOf(scene))
    expect(scene.finished).toMatchObject({
      status: 'failed',
      error: {
        code: 'model-failed',
        message: expect.stringMatching(/\(500\): server error\..*req_fake_500.*Tried 6 times\.$/),
      },
    })
  })

  // As above: the official client asks 30 times.
  test('42-503-slow-down: six requests, as far apart as the service asked for', async (t) => {
    const scene = await replay(t, '42-503-slow-down', { why: { requests: ONE_LAYER } })

    expect(scene.server.requests).toHaveLength(6)
    expect(delaysOf(scene)).toEqual([1000, 1000, 1000, 1000, 1000])
    expect(scene.finished).toMatchObject({ status: 'failed', error: { code: 'model-failed' } })
  })
})

describe.concurrent('broken streams', PATIENTLY, () => {
  test('43-cut-once: half an answer is taken back and asked for again', async (t) => {
    const { agent, finished } = await replay(t, '43-cut-once')

    const [retry, ...more] = eventsOf(agent, 'retry')
    expect(retry).toMatchObject({ attempt: 1, discardsText: true, reason: { code: 'stream-cut' } })
    expectBackoff([retry?.delayMs ?? 0])
    expect(more).toEqual([])
    expect(shownText(agent)).toBe('parDone.')
    expect(finished).toMatchObject({ status: 'done', usage: usageOf(1) })
  })

  test('43b-clean-eof-once: a call finished before the end is run once and kept', async (t) => {
    const { agent, finished, server, recorded, workspace } = await replay(t, '43b-clean-eof-once')

    expect(addedItems(server, 1)[0]).toEqual(doneItems(recorded.exchanges[0])[0])
    expect(readFileSync(join(workspace, 'ran.txt'), 'utf8')).toBe('once\n')
    expect(eventsOf(agent, 'retry')).toMatchObject([{ attempt: 1, discardsText: false }])
    expect(eventsOf(agent, 'tool.finished')).toHaveLength(1)
    expect(finished).toMatchObject({ status: 'done', toolCalls: 1 })
  })

  test('44-cut-always: five retries with growing delays, then the run fails', async (t) => {
    const scene = await replay(t, '44-cut-always')

    const retries = eventsOf(scene.agent, 'retry')
    expect(retries.map((retry) => retry.attempt)).toEqual([1, 2, 3, 4, 5])
    expectBackoff(retries.map((retry) => retry.delayMs))
    expectWaited(scene)
    expect(scene.finished).toMatchObject({ status: 'failed', error: { code: 'stream-cut' } })
  })

  test('46-destroy-before-headers: a connection that gives no answer is tried again', async (t) => {
    const { agent, finished } = await replay(t, '46-destroy-before-headers')

    expect(eventsOf(agent, 'retry')).toMatchObject([
      { attempt: 1, discardsText: false, reason: { code: 'model-unreachable' } },
    ])
    expect(finished.status).toBe('done')
  })

  // The official client waits for a connection without end; a run of ours has to end.
  test('a server that is not there is tried six times, then the run fails', async (t) => {
    const url = `http://127.0.0.1:${await unusedPort()}/v1/responses`
    const { agent, finished } = await play(t, [], { endpoint: { url } })

    const retries = eventsOf(agent, 'retry')
    expect(retries).toHaveLength(5)
    expectBackoff(retries.map((retry) => retry.delayMs))
    expect(finished).toMatchObject({ status: 'failed', error: { code: 'model-unreachable' } })
  })
})

describe.concurrent('final at the first answer, as for the official client', () => {
  const cases: [name: string, shows: string, error: Record<string, unknown>][] = [
    [
      '30-usage-limit-reached',
      'the run ends and says when the limit is lifted',
      {
        code: 'usage-limit',
        message: expect.stringMatching(/ plus plan .* Upgrade to Pro .* wait for the reset/),
        resetsAt: 1_795_209_178_000,
      },
    ],
    [
      '30b-usage-limit-free',
      'the time may be unknown',
      { code: 'usage-limit', message: expect.stringMatching(/Upgrade to Plus .* try again later/) },
    ],
    ['31-usage-not-included', 'the plan has no Codex', { code: 'plan-without-codex' }],
    ['52-failed-insufficient-quota', 'the quota is spent', { code: 'usage-limit' }],
    [
      '53-failed-invalid-prompt',
      "the service's sentence is passed on",
      { code: 'model-refused', message: expect.stringContaining('Invalid prompt: fake policy') },
    ],
    ['54-failed-server-overloaded', 'the model is at capacity', { code: 'model-failed' }],
    [
      '56-incomplete-max-tokens',
      'the answer hit its limit',
      { code: 'model-failed', message: expect.stringContaining('max_output_tokens') },
    ],
    [
      '60-400-detail',
      'the model is not for this account',
      {
        code: 'model-unknown',
        message: expect.stringMatching(/'gpt-5.5' to this account.*--model/),
      },
    ],
    [
      '60b-400-error-object',
      "the service's sentence is passed on",
      { code: 'model-refused', message: expect.stringContaining('Invalid value: x') },
    ],
    [
      '60d-400-invalid-image',
      "the service's sentence is passed on",
      { code: 'model-refused', message: expect.stringMatching(/refuses an image.*without it/) },
    ],
    [
      '62-404-model',
      'the model does not exist',
      { code: 'model-unknown', message: expect.stringContaining("not know the model 'gpt-x'") },
    ],
  ]

  test.for(cases)('%s: %s', async ([name, , error], t) => {
    const { agent, finished, server, recorded } = await replay(t, name)

    expect(server.requests).toHaveLength(recorded.requests)
    expect(eventsOf(agent, 'retry')).toEqual([])
    expect(finished).toMatchObject({ status: 'failed', error })
    expect(finished.error?.resetsAt).toBe(error.resetsAt)
  })
})

test.concurrent('30-usage-limit-reached: what the refusal says of the limits is told as an event', async (t) => {
  const { agent } = await play(t, recording('30-usage-limit-reached').exchanges)

  expect(eventsOf(agent, 'limits')).toMatchObject([
    {
      limits: {
        limits: [{ id: 'codex', primary: { usedPercent: 100, windowMinutes: 300 }, secondary: {} }],
        credits: { hasCredits: true, unlimited: false, balance: '12.50' },
      },
    },
  ])
})

// The official client leaves it to the user to start anew.
describe.concurrent('a conversation that no longer fits is made shorter, once', () => {
  const full = ['50-failed-context-length', '60c-400-context-length']

  test.for(full)('%s: and then goes on', async (name, t) => {
    const { agent, finished, server } = await replay(t, name, MAKES_ROOM)

    expect(server.requests).toHaveLength(3)
    expect(eventsOf(agent, 'compacted')).toHaveLength(1)
    expect(finished.status).toBe('done')
  })

  test.for(full)('%s: and is given up when it still does not fit', async (name, t) => {
    const { exchanges } = recording(name)
    const { finished, server } = await play(t, [...exchanges, SHORTENED, ...exchanges])

    expect(server.requests).toHaveLength(3)
    const message = 'The conversation no longer fits into the model. Start a new session.'
    expect(finished).toMatchObject({ status: 'failed', error: { code: 'context-full', message } })
  })
})

// The official client repeats these five times.
describe.concurrent('final at the first answer, since nothing changes within seconds', () => {
  test('61b-403-json: the service is not offered in a region', async (t) => {
    const { agent, finished, server, recorded } = await replay(t, '61b-403-json', {
      why: { requests: OTHER_REGION, waits: OTHER_REGION },
    })

    expect(recorded.requests).toBe(6)
    expect(server.requests).toHaveLength(1)
    expect(eventsOf(agent, 'retry')).toEqual([])
    const message = expect.stringContaining('not offered in the region')
    expect(finished).toMatchObject({ status: 'failed', error: { code: 'model-refused', message } })
  })
})

describe.concurrent('overcome by a retry, as for the official client', () => {
  const cases: [
    name: string,
    reason: string,
    delayMs?: number | undefined,
    options?: ReplayOptions,
  ][] = [
    ['33-429-then-success', 'rate-limited', 1000],
    ['40-500-once', 'model-failed'],
    ['42b-503-plain', 'model-failed', 1000],
    ['51-failed-rate-limit', 'rate-limited', 1300],
    ['55-failed-unknown', 'model-failed'],
    ['56b-incomplete-content-filter', 'model-failed', undefined, { why: { 'sent back': NO_NOTE } }],
  ]

  test.for(cases)('%s: retried for %s', async ([name, reason, delayMs, options], t) => {
    const scene = await replay(t, name, options)

    expect(scene.server.requests).toHaveLength(scene.recorded.requests)
    expect(eventsOf(scene.agent, 'retry')).toMatchObject([{ attempt: 1, reason: { code: reason } }])
    if (delayMs) expect(delaysOf(scene)).toEqual([delayMs])
    else expectBackoff(delaysOf(scene))
    expectWaited(scene)
    expect(addedItems(scene.server, 1).map(outline)).toEqual([])
    expect(scene.finished.status).toBe('done')
  })
})

/** An answer that is retried at once, so that the test need not wait. */
const unavailable: Exchange = { status: 503, headers: { 'retry-after': '0' } }

describe.concurrent('the count of retries', () => {
  test('all kinds of failure share one budget of five', async (t) => {
    const again = { ...failedAnswer('rate_limit_exceeded', 'try again in 1ms') }
    const script = [unavailable, again, unavailable, again, unavailable, again, textAnswer()]
    const { agent, finished, server } = await play(t, script)

    expect(eventsOf(agent, 'retry').map((retry) => retry.attempt)).toEqual([1, 2, 3, 4, 5])
    expect(server.requests).toHaveLength(6)
    expect(finished).toMatchObject({ status: 'failed', error: { code: 'rate-limited' } })
  })

  test('a completed response gives the whole budget back', async (t) => {
    const five = Array.from({ length: 5 }, () => unavailable)
    const more = { ...recording('86-two-completed-text-and-tool').exchanges[0] }
    const { finished, server } = await play(t, [...five, more, ...five, textAnswer()])

    expect(server.requests).toHaveLength(12)
    expect(finished.status).toBe('done')
  })
})

describe.concurrent('how long to wait', () => {
  test('Retry-After may be a date', async (t) => {
    // Whole seconds: up to one of them is lost to rounding, and some to the start of the agent.
    const date = new Date(Date.now() + 4000).toUTCString()
    const script = [{ status: 503, headers: { 'retry-after': date } }, textAnswer()]
    const scene = await play(t, script)

    expect(delaysOf(scene)[0]).toBeGreaterThan(300)
    expect(delaysOf(scene)[0]).toBeLessThanOrEqual(4000)
    expectWaited(scene)
    expect(scene.finished.status).toBe('done')
  })

  // The official client would sit through it.
  test('a wait of an hour is told to the user at once', async (t) => {
    const before = Date.now()
    const { finished, server } = await play(t, [
      { status: 429, headers: { 'retry-after': '3600' }, body: { detail: 'Too many' } },
    ])

    expect(server.requests).toHaveLength(1)
    expect(finished).toMatchObject({ status: 'failed', error: { code: 'rate-limited' } })
    expect(finished.error?.retryAt).toBeGreaterThanOrEqual(before + 3_600_000)
  })
})

describe.concurrent('hostile answers', () => {
  test.for([
    ['0', 0],
    ['-1', undefined],
    ['soon', undefined],
  ] as const)('a Retry-After of %j is a wait of %s', async ([value, delayMs], t) => {
    const scene = await play(t, [{ status: 503, headers: { 'retry-after': value } }, textAnswer()])

    if (delayMs === undefined) expectBackoff(delaysOf(scene))
    else expect(delaysOf(scene)).toEqual([delayMs])
    expect(scene.finished.status).toBe('done')
  })

  test('a Retry-After of 31 years ends the run, and says until when', async (t) => {
    const { finished, server } = await play(t, [
      { status: 503, headers: { 'retry-after': '1000000000' } },
    ])

    expect(server.requests).toHaveLength(1)
    expect(new Date(finished.error?.retryAt ?? 0).getFullYear()).toBeGreaterThan(2050)
  })

  test('a rate limit with a Retry-After that says nothing is final', async (t) => {
    const { finished, server } = await play(t, [
      { status: 429, headers: { 'retry-after': '-1' }, body: { detail: 'Too many' } },
    ])

    expect(server.requests).toHaveLength(1)
    expect(finished.error).toMatchObject({ code: 'rate-limited' })
  })

  test('a page with status 200 is the one of a portal, not an answer', async (t) => {
    const { finished, server } = await play(t, [
      {
        headers: { 'content-type': 'text/html' },
        body: '<html><head><title>Welcome to our hotel</title></head></html>',
      },
    ])

    expect(server.requests).toHaveLength(1)
    const message = expect.stringMatching(/something on the way .* Welcome to our hotel\./)
    expect(finished.error).toMatchObject({ code: 'model-unreachable', message })
  })

  test('a flood of headers is told as what it is, and tried again', async (t) => {
    const flood = Object.fromEntries(
      Array.from({ length: 100 }, (_, index) => [`x-flood-${index}`, 'x'.repeat(1000)]),
    )
    const { agent, finished } = await play(t, [{ headers: flood, body: '' }, textAnswer()])

    const message = expect.stringContaining('Header overflow')
    expect(eventsOf(agent, 'retry')).toMatchObject([{ reason: { message } }])
    expect(finished.status).toBe('done')
  })
})

describe.concurrent('a page instead of the service', () => {
  // The official client repeats this too; a block does not lift within seconds.
  test('a 403 page of Cloudflare is called by its name, at once', async (t) => {
    const { finished, server } = await play(t, [
      {
        status: 403,
        headers: { 'content-type': 'text/html; charset=UTF-8', 'cf-ray': 'ray_fake' },
        body: '<!DOCTYPE html><title>Attention Required! | Cloudflare</title><p>You are blocked',
      },
    ])

    expect(finished).toMatchObject({
      status: 'failed',
      error: { code: 'model-refused', message: expect.stringContaining('Cloudflare') },
    })
    expect(finished.error?.message).not.toContain('<')
    expect(server.requests).toHaveLength(1)
  })
})

// The official client holds the refresh token and renews by itself; ours asks the host, once.
describe.concurrent('a refused token', () => {
  const secrets = (token: string) => ({ CODEX_ACCESS_TOKEN: token, CODEX_ACCOUNT_ID: 'account-1' })

  test('20-auth-401-then-refresh: the host is asked, the request repeated', async (t) => {
    const { agent, server } = await start(t, recording('20-auth-401-then-refresh').exchanges)

    await agent.until('secrets.needed')
    agent.send({ type: 'secrets', secrets: secrets('second-token') })

    expect(await agent.finished()).toMatchObject({ status: 'done' })
    expect(server.requests.map((request) => request.header('authorization'))).toEqual([
      'Bearer first-token',
      'Bearer second-token',
    ])
    expect(server.requests[1]?.body).toEqual(server.requests[0]?.body)
    expect(eventsOf(agent, 'retry')).toEqual([])
  })

  test('20b-auth-401-twice: the second refusal is final', async (t) => {
    const { agent, server } = await start(t, recording('20b-auth-401-twice-then-refresh').exchanges)

    await agent.until('secrets.needed')
    agent.send({ type: 'secrets', secrets: secrets('second-token') })

    const message = expect.stringContaining('authentication token is expired')
    expect(await agent.finished()).toMatchObject({
      status: 'failed',
      error: { code: 'not-signed-in', message },
    })
    expect(server.requests).toHaveLength(2)
    expect(eventsOf(agent, 'secrets.needed')).toHaveLength(1)
  })

  test('21-auth-401-always: two requests, not eighteen; new secrets start anew', async (t) => {
    const recorded = recording('21-auth-401-always')
    const { agent, server } = await start(t, [...recorded.exchanges.slice(0, 2), textAnswer()])

    await agent.until('secrets.needed')
    agent.send({ type: 'secrets', secrets: secrets('second-token') })
    expect((await agent.finished()).error?.code).toBe('not-signed-in')
    const prompt = { type: 'prompt', runId: 'run-2', prompt: 'Again.' } as const
    agent.send({ ...prompt, secrets: secrets('third-token') })

    expect(await agent.finished()).toMatchObject({ runId: 'run-2', status: 'done' })
    expect(recorded.requests).toBe(18)
    expect(server.requests.map((request) => request.header('authorization'))).toEqual([
      'Bearer first-token',
      'Bearer second-token',
      'Bearer third-token',
    ])
  })

  test('an error text that repeats the token loses it', async (t) => {
    const { finished } = await play(t, [
      { status: 400, body: { detail: 'Bad header: Bearer first-token' } },
    ])

    expect(finished.error?.message).toMatch(/Bad header: Bearer (?!first-token)/)
  })
})

async function unusedPort(): Promise<number> {
  const server = createServer()
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port))
  })
  await new Promise((resolve) => server.close(resolve))
  return port
}

test('docs/conformance.md says what these runs have shown', () => {
  failures.expectInDocs()
})
