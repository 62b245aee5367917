import { LLMock } from '@copilotkit/aimock'
import { describe, expect, test } from 'vitest'
import { type AgentProcess, startAgent } from '../fakes/agent-process.ts'
import { aRunRequest } from '../fakes/run-request.ts'
import { type Cleanup, eventsOf, shownText } from './replay.ts'

/**
 * A Responses server that others wrote, without knowing of us: what our own stand-in gets wrong,
 * this one may have right. Its streams end each item with `response.output_item.done`, as the
 * service does; its finished answers repeat the items, which are not taken twice.
 */
async function startThirdParty({ onTestFinished }: Cleanup): Promise<LLMock> {
  const server = new LLMock({ port: 0, host: '127.0.0.1' })
  await server.start()
  onTestFinished(() => server.stop())
  return server
}

function ask({ onTestFinished }: Cleanup, server: LLMock, prompt: string): AgentProcess {
  const endpoint = { url: `${server.url}/v1/responses` }
  const agent = startAgent(aRunRequest({ prompt, endpoint }))
  onTestFinished(() => agent.stop())
  return agent
}

/** The messages of the last request, as the server understood them. */
const understood = (server: LLMock) =>
  (server.getLastRequest()?.body?.messages ?? []) as { role: string; tool_call_id?: string }[]

describe.concurrent('a server of somebody else', () => {
  test('gives text and reasoning, shown as they come and kept as items', async (t) => {
    const server = await startThirdParty(t)
    server.onMessage('hello', { content: 'Hello from elsewhere.', reasoning: 'A greeting.' })
    const agent = ask(t, server, 'Say hello.')

    expect(await agent.finished()).toMatchObject({ status: 'done', turns: 1 })
    expect(shownText(agent)).toBe('Hello from elsewhere.')
    const reasoning = eventsOf(agent, 'reasoning.delta').map(({ text }) => text)
    expect(reasoning.join('')).toBe('A greeting.')
    expect(eventsOf(agent, 'item').map(({ item }) => item.type)).toEqual([
      'message',
      'reasoning',
      'message',
    ])
    expect(understood(server)).toMatchObject([
      { role: 'system', content: 'You are part of a test.' },
      { role: 'user', content: 'Say hello.' },
    ])
  })

  test('calls a tool and understands its output', async (t) => {
    const server = await startThirdParty(t)
    const call = { id: 'call_1', name: 'bash', arguments: '{"command":"echo from the tool"}' }
    server.onToolResult('call_1', { content: 'The tool has spoken.' })
    server.onMessage('Use it', { toolCalls: [call] })
    const agent = ask(t, server, 'Use it.')

    expect(await agent.finished()).toMatchObject({ status: 'done', turns: 2, toolCalls: 1 })
    expect(shownText(agent)).toBe('The tool has spoken.')
    expect(understood(server)).toContainEqual(
      expect.objectContaining({
        role: 'tool',
        tool_call_id: 'call_1',
        content: expect.stringContaining('from the tool\n'),
      }),
    )
  })

  test('may call several tools beside some text', async (t) => {
    const server = await startThirdParty(t)
    const call = (id: string) => ({ id, name: 'bash', arguments: '{"command":"true"}' })
    server.onToolResult('call_2', { content: 'Both are done.' })
    server.onMessage('Use two', { content: 'First:', toolCalls: [call('call_1'), call('call_2')] })
    const agent = ask(t, server, 'Use two.')

    expect(await agent.finished()).toMatchObject({ status: 'done', turns: 2, toolCalls: 2 })
    expect(shownText(agent)).toBe('First:Both are done.')
    const answered = understood(server).filter(({ role }) => role === 'tool')
    expect(answered.map((message) => message.tool_call_id)).toEqual(['call_1', 'call_2'])
  })

  test('may be in trouble for once', async (t) => {
    const server = await startThirdParty(t)
    server.onMessage('hello', { content: 'Now.' })
    server.nextRequestError(503, { message: 'Overloaded', type: 'server_error' })
    const agent = ask(t, server, 'Say hello.')

    expect(await agent.finished()).toMatchObject({ status: 'done' })
    expect(eventsOf(agent, 'retry')).toMatchObject([{ attempt: 1 }])
    expect(shownText(agent)).toBe('Now.')
  })

  test('may break off in the middle of an answer', async (t) => {
    const server = await startThirdParty(t)
    const content = 'Much to say, in many small parts, until it ends.'
    server.on(
      { userMessage: 'hello', sequenceIndex: 0 },
      { content },
      { truncateAfterChunks: 8, chunkSize: 4, latency: 5 },
    )
    server.on({ userMessage: 'hello', sequenceIndex: 1 }, { content })
    const agent = ask(t, server, 'Say hello.')

    expect(await agent.finished()).toMatchObject({ status: 'done' })
    expect(eventsOf(agent, 'retry')).toMatchObject([
      { reason: { code: 'stream-cut' }, discardsText: true },
    ])
    expect(shownText(agent).endsWith(content)).toBe(true)
  })

  test('may refuse for good, and its sentence is passed on', async (t) => {
    const server = await startThirdParty(t)
    const error = { message: 'That is not to be said.', type: 'invalid_request_error' }
    server.onMessage('hello', { error, status: 400 })
    const agent = ask(t, server, 'Say hello.')

    expect(await agent.finished()).toMatchObject({
      status: 'failed',
      error: { code: 'model-refused', message: expect.stringContaining(error.message) },
    })
    expect(server.getRequests()).toHaveLength(1)
  })
})
