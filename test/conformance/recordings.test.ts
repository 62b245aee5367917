import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { itemsAnswer, textAnswer } from '../fakes/model-server.ts'
import { ConformanceTable } from './conformance-table.ts'
import { heldAgainst, PATIENCE_MS, type ReplayOptions, requestLike } from './held-against.ts'
import {
  addedItems,
  type Cleanup,
  doneItems,
  eventsOf,
  expectBackoff,
  expectWaited,
  outputsSent,
  play,
  recording,
  shownText,
  start,
} from './replay.ts'

const runs = new ConformanceTable('Runs')
const tools = new ConformanceTable('Tools')
const failures = new ConformanceTable('Errors and retries')

const ONE_LAYER =
  'The official client repeats inside each repetition, 30 requests in all. Six are enough to be sure, and spare a service in trouble.'
const COMPACTED =
  'The conversation is compacted and the question asked again, where the official client leaves that to the user.'
const MAKES_ROOM: ReplayOptions = {
  why: { requests: COMPACTED, 'sent back': COMPACTED, end: COMPACTED },
  beyond: [
    itemsAnswer([{ type: 'compaction', id: 'cmp_1', encrypted_content: 'gAAAA-compaction' }]),
    textAnswer(),
  ],
}
const OTHER_REGION = 'Which region a request came from does not change within seconds.'
const NO_NOTE =
  'The official client tells the model that its answer was filtered. The request is repeated as it was.'

const PATIENTLY = { timeout: PATIENCE_MS }

const LITE = { model: 'gpt-6.1-sol', form: { lite: true } }

const usageOf = (responses: number) => ({
  inputTokens: 100 * responses,
  cachedInputTokens: 60 * responses,
  outputTokens: 20 * responses,
  reasoningTokens: 5 * responses,
})

describe.concurrent('plain answers', PATIENTLY, () => {
  test('01-text: an answer is shown as it comes, kept as an item and counted', async (t) => {
    const { agent, finished, recorded } = await heldAgainst(t, runs, '01-text-gpt-5.5')

    expect(shownText(agent)).toBe('Hello from the mock.')
    expect(eventsOf(agent, 'item').map((event) => event.item)).toEqual(
      expect.arrayContaining(doneItems(recorded.exchanges[0])),
    )
    expect(eventsOf(agent, 'usage').map((event) => event.usage)).toEqual([usageOf(1)])
    expect(finished).toMatchObject({ status: 'done', turns: 1, toolCalls: 0, usage: usageOf(1) })
    expect(finished.error).toBeUndefined()
  })

  test('02-text-default-model: the stream of the default model reads the same', async (t) => {
    const { agent, finished } = await heldAgainst(t, runs, '02-text-default-model', {
      given: LITE,
    })

    expect(shownText(agent)).toBe('Hello from the mock.')
    expect(finished.status).toBe('done')
  })

  test('70-sse-crlf: lines may end with CRLF', async (t) => {
    const { agent, finished, recorded } = await heldAgainst(t, runs, '70-sse-crlf')

    expect(recorded.exchanges[0]?.body).toContain('\r\n\r\n')
    expect(shownText(agent)).toBe('crlf ok')
    expect(finished.status).toBe('done')
  })

  test('73-sse-byte-split-utf8: bytes may come one at a time, inside a character too', async (t) => {
    const { agent, finished, recorded } = await heldAgainst(t, runs, '73-sse-byte-split-utf8')

    expect(recorded.exchanges[0]?.byteByByte).toBe(true)
    expect(shownText(agent)).toBe('naïve — 日本語 🚀')
    expect(finished.status).toBe('done')
  })

  test('86-two-completed: end_turn false asks again, with the message in the input', async (t) => {
    const { agent, finished, server, recorded } = await heldAgainst(
      t,
      runs,
      '86-two-completed-text-and-tool',
    )

    expect(addedItems(server, 1)).toEqual(doneItems(recorded.exchanges[0]))
    expect(shownText(agent)).toContain('Final.')
    expect(finished).toMatchObject({ status: 'done', turns: 2, toolCalls: 0, usage: usageOf(2) })
  })
})

describe.concurrent('what the user sets', PATIENTLY, () => {
  test('87-agents-md-and-effort: effort and summary are the ones that were asked for', async (t) => {
    const { server } = await replaySettings(t, '87-agents-md-and-effort', {
      note: 'leaves `AGENTS.md` to the model: it lies in the workspace',
    })

    expect(server.requests[0]?.body.reasoning).toEqual({ effort: 'low', summary: 'concise' })
  })

  test('91-output-schema-and-tier: an output schema and an image go along', async (t) => {
    const image = `data:image/png;base64,${Buffer.from('no image').toString('base64')}`
    const { agent, server } = await replaySettings(t, '91-output-schema-and-tier', {
      given: { images: [image] },
    })

    const { text, input } = server.requests[0]?.body ?? { input: [] }
    const format = { type: 'json_schema', strict: true, schema: { required: ['a'] } }
    expect(text).toMatchObject({ verbosity: 'high', format })
    expect(input.at(-1)).toMatchObject({
      content: [
        { type: 'input_image', image_url: image },
        { type: 'input_text', text: 'Say hello.' },
      ],
    })
    expect(JSON.parse(shownText(agent))).toEqual({ a: 'b' })
  })

  test('92-no-compression-flag: a body that is not compressed is what we always send', async (t) => {
    const { server } = await replaySettings(t, '92-no-compression-flag')

    expect(server.requests[0]?.header('content-encoding')).toBeUndefined()
  })

  test('94c-custom-provider: a server set by hand gets the same request', async (t) => {
    const { finished } = await replaySettings(t, '94c-custom-provider')

    expect(finished.status).toBe('done')
  })
})

function replaySettings(t: Cleanup, name: string, { given, ...options }: ReplayOptions = {}) {
  const settings = { ...requestLike(recording(name)), ...given }
  return heldAgainst(t, runs, name, { given: settings, ...options })
}

describe.concurrent('a conversation of two runs', PATIENTLY, () => {
  test('90-exec-json-and-resume: a later run sends all of the earlier one, reasoning too', async (t) => {
    const { server, recorded } = await heldAgainst(t, runs, '90-exec-json-and-resume')

    const first = doneItems(recorded.exchanges[0])
    expect(addedItems(server, 2).slice(0, first.length)).toEqual(first)
    expect(first[0]).toMatchObject({ type: 'reasoning', encrypted_content: expect.any(String) })
    expect(new Set(server.requests.map(({ body }) => body.prompt_cache_key)).size).toBe(1)
  })

  test('another process that is given its items sends the very same', async (t) => {
    const recorded = recording('90-exec-json-and-resume')
    const [question, further] = recorded.prompts ?? []
    const one = await heldAgainst(t, new ConformanceTable('Runs'), recorded.name)
    const inOneProcess = one.server.requests[2]?.body

    const first = await start(t, recorded.exchanges.slice(0, 2), { prompt: question ?? '' })
    await first.agent.finished()
    const history = eventsOf(first.agent, 'item').map(({ item }) => item)
    const second = await play(t, recorded.exchanges.slice(2), { history, prompt: further ?? '' })

    const withoutOurIds = (body: unknown) =>
      JSON.stringify(body).replaceAll(/(msg|fco)_[\da-f-]{36}|wall time: [\d.]+/g, '')
    expect(withoutOurIds(second.server.requests[0]?.body)).toEqual(withoutOurIds(inOneProcess))
  })
})

describe.concurrent('tools', PATIENTLY, () => {
  test('03-one-tool: a call is run and answered, and the turn state goes back', async (t) => {
    const { agent, finished, server, recorded } = await heldAgainst(t, tools, '03-one-tool-gpt-5.5')

    expect(addedItems(server, 1)[0]).toEqual(doneItems(recorded.exchanges[0])[0])
    const output = outputsSent(server, 1).call_A
    expect(output).toMatch(/hi\n/)
    expect(output).toMatch(/err\n/)
    expect(output).toMatch(/\b3\b/)
    expect(server.requests.map((request) => request.header('x-codex-turn-state'))).toEqual([
      undefined,
      'turnstate-fake-1',
    ])
    expect(eventsOf(agent, 'tool.started')).toMatchObject([
      {
        callId: 'call_A',
        name: 'bash',
        arguments: '{"command":"echo hi && echo err >&2; exit 3"}',
      },
    ])
    expect(eventsOf(agent, 'tool.finished')).toMatchObject([{ callId: 'call_A', name: 'bash' }])
    expect(finished).toMatchObject({ status: 'done', turns: 2, toolCalls: 1, usage: usageOf(2) })
  })

  test('04-two-parallel-tools: all calls go back first, then all outputs in call order', async (t) => {
    const { finished, server, recorded } = await heldAgainst(
      t,
      tools,
      '04-two-parallel-tools-gpt-5.5',
    )

    expect(addedItems(server, 1).slice(0, 2)).toEqual(doneItems(recorded.exchanges[0]))
    expect(outputsSent(server, 1).call_A).toContain('one')
    expect(outputsSent(server, 1).call_B).toContain('two')
    expect(finished).toMatchObject({ status: 'done', toolCalls: 2 })
  })

  test('05-reasoning-roundtrip: encrypted reasoning and commentary go back unchanged', async (t) => {
    const { server, recorded } = await heldAgainst(t, tools, '05-reasoning-roundtrip-gpt-5.5')

    const sentBack = addedItems(server, 1).slice(0, 3)
    expect(sentBack).toEqual(doneItems(recorded.exchanges[0]))
    expect(sentBack[0]).toMatchObject({ encrypted_content: 'gAAAA-fake-encrypted-1' })
    expect(sentBack[1]).toMatchObject({ phase: 'commentary' })
  })

  test('06-reasoning-roundtrip-lite: a custom tool we do not have is answered with an error', async (t) => {
    const { finished, server, recorded } = await heldAgainst(
      t,
      tools,
      '06-reasoning-roundtrip-lite',
      {
        given: LITE,
        note: 'offers its own tools in the lite form too: `exec`, which runs JavaScript, is answered with their names',
      },
    )

    expect(addedItems(server, 1).slice(0, 2)).toEqual(doneItems(recorded.exchanges[0]))
    expect(outputsSent(server, 1).call_A).toMatch(/no tool named exec; the tools are bash/)
    expect(finished.status).toBe('done')
  })

  test('07-apply-patch: patches are applied, and one that does not fit says which lines', async (t) => {
    const { finished, server, workspace } = await heldAgainst(t, tools, '07-apply-patch-gpt-5.5')

    const outputs = outputsSent(server, 3)
    expect(outputs.call_A).toMatch(/^Exit code: 0\nWall time: .*\nOutput:\nSuccess.*:\nA a.txt\n$/)
    expect(outputs.call_B).toMatch(/^Exit code: 0\nWall time: .*\nOutput:\nSuccess.*:\nM a.txt\n$/)
    expect(outputs.call_C).toMatch(/^apply_patch verification failed: .*a\.txt(.|\n)*nope/)
    expect(readFileSync(join(workspace, 'a.txt'), 'utf8')).toBe('one\n2\n')
    expect(finished.status).toBe('done')
  })

  test('08-tool-output-truncation: long output is cut in the middle, wrong calls are answered', async (t) => {
    const { finished, server } = await heldAgainst(t, tools, '08-tool-output-truncation', {
      note: 'cuts at the bytes that the run allows, in the middle as well',
    })

    const outputs = outputsSent(server, 3)
    const long = outputs.call_A ?? ''
    expect(Buffer.byteLength(long)).toBeLessThan(25_000)
    expect(long).toMatch(/^(.*\n)*1\n2\n3\n/)
    expect(long).toMatch(/59999\n60000\n/)
    expect(outputs.call_B).toMatch(/session id \d+(.|\n)*start\n/)
    expect(outputs.call_B).not.toContain('end')
    // The number of the session was another one in the recording.
    expect(outputs.call_B2).toMatch(/session/)
    expect(outputs.call_C).toMatch(/no_such_tool/)
    expect(outputs.call_D).toMatch(/JSON/)
    expect(finished).toMatchObject({ status: 'done', turns: 4 })
  })

  test('94-models-etag-change: another list of models is no reason to stop', async (t) => {
    const { finished } = await heldAgainst(t, tools, '94-models-etag-change', {
      note: 'asks for the list of models at the start of a conversation, not in the middle of a run',
    })

    expect(finished.status).toBe('done')
  })
})

describe.concurrent('broken streams', PATIENTLY, () => {
  test('43-cut-once: half an answer is taken back and asked for again', async (t) => {
    const { agent, finished } = await heldAgainst(t, failures, '43-cut-once')

    const [retry, ...more] = eventsOf(agent, 'retry')
    expect(retry).toMatchObject({ attempt: 1, discardsText: true, reason: { code: 'stream-cut' } })
    expectBackoff([retry?.delayMs ?? 0])
    expect(more).toEqual([])
    expect(shownText(agent)).toBe('parDone.')
    expect(finished).toMatchObject({ status: 'done', usage: usageOf(1) })
  })

  test('43b-clean-eof-once: a call finished before the end is run once and kept', async (t) => {
    const { agent, finished, server, recorded, workspace } = await heldAgainst(
      t,
      failures,
      '43b-clean-eof-once',
    )

    expect(addedItems(server, 1)[0]).toEqual(doneItems(recorded.exchanges[0])[0])
    expect(readFileSync(join(workspace, 'ran.txt'), 'utf8')).toBe('once\n')
    expect(eventsOf(agent, 'retry')).toMatchObject([{ attempt: 1, discardsText: false }])
    expect(eventsOf(agent, 'tool.finished')).toHaveLength(1)
    expect(finished).toMatchObject({ status: 'done', toolCalls: 1 })
  })

  test('44-cut-always: five retries with growing delays, then the run fails', async (t) => {
    const scene = await heldAgainst(t, failures, '44-cut-always')

    const retries = eventsOf(scene.agent, 'retry')
    expect(retries.map((retry) => retry.attempt)).toEqual([1, 2, 3, 4, 5])
    expectBackoff(retries.map((retry) => retry.delayMs))
    expectWaited(scene)
    expect(scene.finished).toMatchObject({ status: 'failed', error: { code: 'stream-cut' } })
  })

  test('46-destroy-before-headers: a connection that gives no answer is tried again', async (t) => {
    const { agent, finished } = await heldAgainst(t, failures, '46-destroy-before-headers')

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

/** What errors.test.ts looks at in detail, as rows of the table. */
describe.concurrent('a service in trouble', PATIENTLY, () => {
  const cases: [name: string, options?: ReplayOptions][] = [
    ['30-usage-limit-reached'],
    ['30b-usage-limit-free'],
    ['31-usage-not-included'],
    ['32-429-plain-retry-after'],
    ['33-429-then-success'],
    ['40-500-once'],
    ['41-500-always', { why: { requests: ONE_LAYER } }],
    ['42-503-slow-down', { why: { requests: ONE_LAYER } }],
    ['42b-503-plain'],
    ['50-failed-context-length', MAKES_ROOM],
    ['51-failed-rate-limit'],
    ['52-failed-insufficient-quota'],
    ['53-failed-invalid-prompt'],
    ['54-failed-server-overloaded'],
    ['55-failed-unknown'],
    ['56-incomplete-max-tokens'],
    ['56b-incomplete-content-filter', { why: { 'sent back': NO_NOTE } }],
    ['60-400-detail'],
    ['60b-400-error-object'],
    ['60c-400-context-length', MAKES_ROOM],
    ['60d-400-invalid-image'],
    ['61b-403-json', { why: { requests: OTHER_REGION, waits: OTHER_REGION } }],
    ['62-404-model'],
  ]

  test.for(cases)('%s', async ([name, options], t) => {
    await heldAgainst(t, failures, name, options)
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
  for (const table of [runs, tools, failures]) table.expectInDocs()
})
