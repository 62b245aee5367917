import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Item } from '../../shared/items.ts'
import {
  callsAnswer,
  completed,
  created,
  done,
  itemsAnswer,
  messageItem,
  sse,
  textAnswer,
} from '../fakes/model-server.ts'
import { outline } from './outline.ts'
import {
  addedItems,
  type Cleanup,
  conversationItems,
  eventsOf,
  furtherPrompt,
  outputsSent,
  play,
  recording,
  start,
} from './replay.ts'

const bash = (call_id: string, command: string): Item => ({
  type: 'function_call',
  call_id,
  name: 'bash',
  arguments: JSON.stringify({ command }),
})

/** A server whose answers are written by hand, the n-th request's by the n-th writer. */
async function serveByHand(
  { onTestFinished }: Cleanup,
  writers: ((response: ServerResponse, body: { input: Item[] }) => Promise<void> | void)[],
): Promise<{ url: string }> {
  const waiting = [...writers]
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    await waiting.shift()?.(response, JSON.parse(Buffer.concat(chunks).toString()))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/responses` }
}

describe.concurrent('a tool', () => {
  test('runs while the rest of the answer is still held back', async (t) => {
    let toolHasRun: () => void = () => {}
    const hasRun = new Promise<void>((resolve) => {
      toolHasRun = resolve
    })
    let second: Item[] = []
    const endpoint = await serveByHand(t, [
      async (response) => {
        response.write(sse([created, done(bash('call_1', 'echo run >> marks'))]))
        await hasRun
        response.end(sse([done(messageItem('Said later.')), completed]))
      },
      (response, { input }) => {
        second = input
        response.end(textAnswer().body)
      },
    ])
    const { agent, workspace } = await start(t, [], { endpoint })

    await agent.until('tool.finished')
    expect(existsSync(join(workspace, 'marks'))).toBe(true)
    expect(eventsOf(agent, 'usage')).toEqual([])
    toolHasRun()

    expect(await agent.finished()).toMatchObject({ status: 'done', turns: 2, toolCalls: 1 })
    expect(readFileSync(join(workspace, 'marks'), 'utf8')).toBe('run\n')
    // What the model said counts in its order; the output comes after all of it.
    expect(second.slice(2).map(({ type }) => type)).toEqual([
      'function_call',
      'message',
      'function_call_output',
    ])
  })

  test('runs beside another one, and their outputs stand in the order of the calls', async (t) => {
    // Each waits for the other: one after the other they would never end.
    const meet = (mine: string, other: string) =>
      `touch ${mine}; until [ -e ${other} ]; do sleep 0.02; done; echo ${mine}`
    const { server } = await play(t, [
      callsAnswer(
        ['bash', { command: `${meet('a', 'b')}; sleep 0.1` }],
        ['bash', { command: meet('b', 'a') }],
      ),
      textAnswer(),
    ])

    expect(Object.keys(outputsSent(server, 1))).toEqual(['call_1', 'call_2'])
    expect(outputsSent(server, 1).call_1).toContain('a\n')
    expect(outputsSent(server, 1).call_2).toContain('b\n')
  })

  test('whose answer breaks off has run once, and is asked about no more', async (t) => {
    const answer = sse([created, done(bash('call_1', 'echo run >> marks; sleep 0.3'))])
    const script = [{ body: answer, fault: 'cut' } as const, textAnswer()]
    const { agent, finished, server, workspace } = await play(t, script)

    expect(finished).toMatchObject({ status: 'done', toolCalls: 1 })
    expect(readFileSync(join(workspace, 'marks'), 'utf8')).toBe('run\n')
    expect(eventsOf(agent, 'retry')).toHaveLength(1)
    expect(addedItems(server, 1).map(({ type }) => type)).toEqual([
      'function_call',
      'function_call_output',
    ])
  })

  test('does not run before the host has kept its call, where the host says so', async (t) => {
    const script = [callsAnswer(['bash', { command: 'true' }]), textAnswer()]
    const { agent } = await start(t, script, { confirmsCalls: true })
    const { seq } = await agent.until('usage')
    expect(eventsOf(agent, 'tool.started')).toEqual([])

    agent.send({ type: 'kept', seq })

    expect(await agent.finished()).toMatchObject({ status: 'done', toolCalls: 1 })
  })
})

describe.concurrent('ids of calls', () => {
  const LONG = `call_${'x'.repeat(100)}`

  test.for([
    ['that is missing', [undefined]],
    ['that is empty', ['']],
    ['that is used twice in one answer', ['call_1', 'call_1']],
    ['that the service would not take back', [LONG]],
  ] as [string, (string | undefined)[]][])('one %s is mended', async ([, ids], t) => {
    const calls = ids.map((call_id) => {
      const { call_id: _, ...call } = bash('', 'echo ok')
      return call_id === undefined ? call : { ...call, call_id }
    })
    const { agent, finished, server } = await play(t, [itemsAnswer(calls as Item[]), textAnswer()])

    expect(finished).toMatchObject({ status: 'done', toolCalls: ids.length })
    const sent = addedItems(server, 1)
    const callIds = sent.slice(0, ids.length).map(({ call_id }) => String(call_id))
    expect(new Set(callIds).size).toBe(ids.length)
    for (const id of callIds) expect(id).toMatch(/^call_.{1,59}$/)
    expect(Object.keys(outputsSent(server, 1))).toEqual(callIds)
    expect(eventsOf(agent, 'repair')).toHaveLength(1)
    expect(
      eventsOf(agent, 'tool.finished')
        .map(({ callId }) => callId)
        .sort(),
    ).toEqual(callIds.toSorted())
  })

  test('one of an earlier answer is not used again', async (t) => {
    const answer = () => itemsAnswer([bash('call_1', 'echo ok')])
    const { server } = await play(t, [answer(), answer(), textAnswer()])

    const ids = addedItems(server, 2).map(({ call_id }) => call_id)
    expect(new Set(ids).size).toBe(2)
    expect([ids[0], ids[2]]).toEqual([ids[1], ids[3]])
  })
})

describe.concurrent('what the service says beside its answer', () => {
  test('another model than the one asked for is named', async (t) => {
    const other = { ...textAnswer(), headers: { 'openai-model': 'gpt-6-luna' } }
    const { agent } = await start(t, [
      other,
      { ...textAnswer(), headers: { 'openai-model': 'gpt-5.5' } },
    ])
    await agent.finished()
    agent.send(furtherPrompt('run-2', 'Again.'))
    await agent.finished()

    expect(eventsOf(agent, 'usage').map(({ servedBy }) => servedBy)).toEqual([
      'gpt-6-luna',
      undefined,
    ])
  })

  test('01-text: the limits of the plan are passed on', async (t) => {
    const { agent } = await play(t, recording('01-text-gpt-5.5').exchanges)

    expect(eventsOf(agent, 'limits').map(({ limits }) => limits)).toEqual([
      {
        limits: [
          {
            id: 'codex',
            primary: { usedPercent: 42.5, windowMinutes: 300, resetsAt: 1_795_209_178_000 },
            secondary: { usedPercent: 12, windowMinutes: 10_080, resetsAt: 1_795_709_178_000 },
          },
        ],
        credits: { hasCredits: true, unlimited: false, balance: '12.50' },
      },
    ])
  })

  test('limits are told once, with a refusal as well', async (t) => {
    const headers = { 'x-codex-primary-used-percent': '100' }
    const call = callsAnswer(['bash', { command: 'true' }])
    const { agent, finished } = await play(t, [
      { ...call, headers },
      { ...call, headers },
      { status: 429, body: { error: { type: 'usage_limit_reached' } }, headers },
    ])

    expect(finished.error?.code).toBe('usage-limit')
    expect(eventsOf(agent, 'limits')).toHaveLength(1)
  })
})

describe.concurrent('what is said during a run', () => {
  test('reaches the model after the outputs, in its order', async (t) => {
    const { agent, server } = await start(t, [
      callsAnswer(['bash', { command: 'until [ -e go ]; do sleep 0.02; done' }]),
      textAnswer(),
    ])
    await agent.until('tool.started')
    agent.send({ type: 'message', text: 'One thing.' })
    agent.send({ type: 'message', text: 'Another.' })
    agent.send({ type: 'interrupt' })
    await agent.finished()
    agent.send(furtherPrompt('run-2', 'Go on.'))
    await agent.finished()

    expect(addedItems(server, 1).map(outline)).toEqual([
      { type: 'function_call', id: 'fc_1', call_id: 'call_1' },
      { type: 'function_call_output', id: 'fco_', call_id: 'call_1' },
      ...['One thing.', 'Another.', 'Go on.'].map(() => ({ type: 'message', role: 'user' })),
    ])
  })

  test('too late for the last answer is answered by one more', async (t) => {
    let heard: () => void = () => {}
    const wasHeard = new Promise<void>((resolve) => {
      heard = resolve
    })
    let second: Item[] = []
    const endpoint = await serveByHand(t, [
      async (response) => {
        response.write(sse([created, { type: 'response.output_text.delta', delta: 'Do' }]))
        await wasHeard
        response.end(sse([done(messageItem('Done.')), completed]))
      },
      (response, { input }) => {
        second = input
        response.end(textAnswer().body)
      },
    ])
    const { agent } = await start(t, [], { endpoint })
    await agent.until('text.delta')
    agent.send({ type: 'message', text: 'One more thing.' })
    // Nothing tells that a line has been read by a process that has nothing else to do.
    setTimeout(heard, 500)

    expect(await agent.finished()).toMatchObject({ status: 'done', turns: 2 })
    expect(second.at(-1)).toMatchObject({ content: [{ text: 'One more thing.' }] })
  })
})

describe.concurrent('silence', () => {
  const comments = (response: ServerResponse) =>
    new Promise<void>((resolve) => {
      const timer = setInterval(() => response.write(': still here\n\n'), 20)
      response.on('close', () => {
        clearInterval(timer)
        resolve()
      })
    })
  const answer = (response: ServerResponse) => void response.end(textAnswer().body)

  test('before the first event ends an attempt, whatever comments come', async (t) => {
    const endpoint = await serveByHand(t, [comments, answer])
    const limits = { firstEventMs: 1_000, streamIdleMs: 15_000 }
    const { agent, finished } = await play(t, [], { endpoint, limits })

    expect(finished.status).toBe('done')
    expect(eventsOf(agent, 'retry')).toMatchObject([
      { reason: { code: 'stream-cut', message: expect.stringContaining(' 1 s') } },
    ])
  })

  test('without even headers does as well', async (t) => {
    const endpoint = await serveByHand(t, [() => {}, answer])
    const limits = { firstEventMs: 1_000, streamIdleMs: 15_000 }
    const { agent, finished } = await play(t, [], { endpoint, limits })

    expect(finished.status).toBe('done')
    expect(eventsOf(agent, 'retry')).toMatchObject([{ reason: { code: 'model-unreachable' } }])
  })

  test('after an event is measured in events, and a comment is none', async (t) => {
    const endpoint = await serveByHand(t, [
      (response) => {
        response.write(sse([created]))
        return comments(response)
      },
      answer,
    ])
    const limits = { firstEventMs: 15_000, streamIdleMs: 300 }
    const { agent, finished } = await play(t, [], { endpoint, limits })

    expect(finished.status).toBe('done')
    expect(eventsOf(agent, 'retry')).toMatchObject([{ reason: { code: 'stream-cut' } }])
  })

  test('is broken by any event, also one that means nothing to us', async (t) => {
    const endpoint = await serveByHand(t, [
      async (response) => {
        for (let count = 0; count < 8; count++) {
          response.write(sse([{ type: 'response.in_progress' }]))
          await new Promise((resolve) => setTimeout(resolve, 100))
        }
        response.end(textAnswer().body)
      },
    ])
    const limits = { firstEventMs: 15_000, streamIdleMs: 600 }
    const { agent, finished } = await play(t, [], { endpoint, limits })

    expect(eventsOf(agent, 'retry')).toEqual([])
    expect(finished.status).toBe('done')
  })
})

describe.concurrent('the lite form', () => {
  test('06: has the tools as its first item, and its own header', async (t) => {
    const lite = { model: 'gpt-6.2-sol', form: { lite: true } }
    const { server } = await play(t, recording('06-reasoning-roundtrip-lite').exchanges, lite)

    for (const { body, header } of server.requests) {
      expect(header('x-openai-internal-codex-responses-lite')).toBe('true')
      expect(body).not.toHaveProperty('tools')
      expect(body).toMatchObject({
        parallel_tool_calls: false,
        reasoning: { context: 'all_turns' },
      })
      const [tools] = body.input
      expect(tools).toMatchObject({ type: 'additional_tools', role: 'developer' })
      expect(JSON.stringify(tools)).toContain('"name":"apply_patch"')
    }
    expect(server.requests[1]?.body.input[0]).toEqual(server.requests[0]?.body.input[0])
    expect(conversationItems(server, 1)[0]).toMatchObject({ content: [{ text: 'Say hello.' }] })
  })
})
