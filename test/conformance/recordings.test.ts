import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ConformanceTable } from './conformance-table.ts'
import { heldAgainst, PATIENCE_MS, type ReplayOptions, requestLike } from './held-against.ts'
import {
  addedItems,
  type Cleanup,
  doneItems,
  eventsOf,
  outputsSent,
  play,
  recording,
  shownText,
  start,
  usageOf,
} from './replay.ts'

const runs = new ConformanceTable('Runs')
const tools = new ConformanceTable('Tools')

const PATIENTLY = { timeout: PATIENCE_MS }

const LITE = { model: 'gpt-6.2-sol', form: { lite: true } }

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
      note: 'does not send `AGENTS.md`, which the model can read in the workspace',
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
        note: 'has no `exec`, which runs JavaScript: the call is answered with the names of the tools there are',
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
      note: 'cuts in the middle as well, at a number of bytes instead of tokens',
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

test('docs/conformance.md says what these runs have shown', () => {
  for (const table of [runs, tools]) table.expectInDocs()
})
