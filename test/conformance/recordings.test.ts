import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  addedItems,
  type Cleanup,
  doneItems,
  eventsOf,
  expectBackoff,
  expectWaited,
  outline,
  outputsSent,
  type Played,
  play,
  type Recording,
  recording,
  shownText,
} from './replay.ts'

/** Plays a recording and holds our requests against those of the official client. */
async function replay(cleanup: Cleanup, name: string): Promise<Played & { recorded: Recording }> {
  const recorded = recording(name)
  const scene = await play(cleanup, recorded.exchanges)

  expect(scene.server.unscripted).toBe(0)
  expect(scene.server.requests).toHaveLength(recorded.requests)
  recorded.exchanges.forEach(({ echoed = [] }, index) => {
    expect(addedItems(scene.server, index).map(outline)).toEqual(echoed)
  })
  return { ...scene, recorded }
}

const usageOf = (responses: number) => ({
  inputTokens: 100 * responses,
  cachedInputTokens: 60 * responses,
  outputTokens: 20 * responses,
  reasoningTokens: 5 * responses,
})

describe.concurrent('plain answers', () => {
  test('01-text: an answer is shown as it comes, kept as an item and counted', async (t) => {
    const { agent, finished, recorded } = await replay(t, '01-text-gpt-5.5')

    expect(shownText(agent)).toBe('Hello from the mock.')
    expect(eventsOf(agent, 'item').map((event) => event.item)).toEqual(
      expect.arrayContaining(doneItems(recorded.exchanges[0])),
    )
    expect(eventsOf(agent, 'usage').map((event) => event.usage)).toEqual([usageOf(1)])
    expect(finished).toMatchObject({ status: 'done', turns: 1, toolCalls: 0, usage: usageOf(1) })
    expect(finished.error).toBeUndefined()
  })

  test('02-text-default-model: the stream of the default model reads the same', async (t) => {
    const { agent, finished } = await replay(t, '02-text-default-model')

    expect(shownText(agent)).toBe('Hello from the mock.')
    expect(finished.status).toBe('done')
  })

  test('70-sse-crlf: lines may end with CRLF', async (t) => {
    const { agent, finished, recorded } = await replay(t, '70-sse-crlf')

    expect(recorded.exchanges[0]?.body).toContain('\r\n\r\n')
    expect(shownText(agent)).toBe('crlf ok')
    expect(finished.status).toBe('done')
  })

  test('73-sse-byte-split-utf8: bytes may come one at a time, inside a character too', async (t) => {
    const { agent, finished, recorded } = await replay(t, '73-sse-byte-split-utf8')

    expect(recorded.exchanges[0]?.byteByByte).toBe(true)
    expect(shownText(agent)).toBe('naïve — 日本語 🚀')
    expect(finished.status).toBe('done')
  })

  test('86-two-completed: end_turn false asks again, with the message in the input', async (t) => {
    const { agent, finished, server, recorded } = await replay(t, '86-two-completed-text-and-tool')

    expect(addedItems(server, 1)).toEqual(doneItems(recorded.exchanges[0]))
    expect(shownText(agent)).toContain('Final.')
    expect(finished).toMatchObject({ status: 'done', turns: 2, toolCalls: 0, usage: usageOf(2) })
  })
})

describe.concurrent('tools', () => {
  test('03-one-tool: a call is run and answered, and the turn state goes back', async (t) => {
    const { agent, finished, server, recorded } = await replay(t, '03-one-tool-gpt-5.5')

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
    const { finished, server, recorded } = await replay(t, '04-two-parallel-tools-gpt-5.5')

    expect(addedItems(server, 1).slice(0, 2)).toEqual(doneItems(recorded.exchanges[0]))
    expect(outputsSent(server, 1).call_A).toContain('one')
    expect(outputsSent(server, 1).call_B).toContain('two')
    expect(finished).toMatchObject({ status: 'done', toolCalls: 2 })
  })

  test('05-reasoning-roundtrip: encrypted reasoning and commentary go back unchanged', async (t) => {
    const { server, recorded } = await replay(t, '05-reasoning-roundtrip-gpt-5.5')

    const sentBack = addedItems(server, 1).slice(0, 3)
    expect(sentBack).toEqual(doneItems(recorded.exchanges[0]))
    expect(sentBack[0]).toMatchObject({ encrypted_content: 'gAAAA-fake-encrypted-1' })
    expect(sentBack[1]).toMatchObject({ phase: 'commentary' })
  })

  // The official client has a tool `exec` of this kind and runs it; we offer function tools only.
  test('06-reasoning-roundtrip-lite: a custom tool we do not have is answered with an error', async (t) => {
    const { finished, server, recorded } = await replay(t, '06-reasoning-roundtrip-lite')

    expect(addedItems(server, 1).slice(0, 2)).toEqual(doneItems(recorded.exchanges[0]))
    expect(outputsSent(server, 1).call_A).toMatch(/exec/)
    expect(finished.status).toBe('done')
  })

  // The official client applies the patches; ours says that there is no such tool, and goes on.
  test('07-apply-patch: calls of apply_patch are answered as custom tool calls', async (t) => {
    const { finished, server } = await replay(t, '07-apply-patch-gpt-5.5')

    const outputs = outputsSent(server, 3)
    expect(Object.keys(outputs)).toEqual(['call_A', 'call_B', 'call_C'])
    for (const output of Object.values(outputs)) expect(output).toMatch(/apply_patch/)
    expect(finished.status).toBe('done')
  })

  // The official client hands a slow command back to the model after a while; ours waits for it.
  test('08-tool-output-truncation: long output is cut in the middle, wrong calls are answered', async (t) => {
    const { finished, server } = await replay(t, '08-tool-output-truncation')

    const outputs = outputsSent(server, 3)
    const long = outputs.call_A ?? ''
    expect(Buffer.byteLength(long)).toBeLessThan(25_000)
    expect(long).toMatch(/^(.*\n)*1\n2\n3\n/)
    expect(long).toMatch(/59999\n60000\n/)
    expect(outputs.call_B).toMatch(/start\n(.|\n)*end/)
    expect(outputs.call_B2).toMatch(/write_stdin/)
    expect(outputs.call_C).toMatch(/no_such_tool/)
    expect(outputs.call_D).toMatch(/JSON/)
    expect(finished).toMatchObject({ status: 'done', turns: 4 })
  })
})

describe.concurrent('broken streams', () => {
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

async function unusedPort(): Promise<number> {
  const server = createServer()
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port))
  })
  await new Promise((resolve) => server.close(resolve))
  return port
}
