import { request } from 'node:http'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type DemoBackend, startDemoBackend } from '../../host/outer/demo/demo-backend.ts'
import type { Item } from '../../shared/items.ts'
import { aBody, itemsOf, parseStream, post, type StreamEvent, user } from './demo-client.ts'

const token = 'a-token'
let backend: DemoBackend
beforeEach(async () => {
  backend = await startDemoBackend({ token, paceMs: 0 })
})
afterEach(() => backend.close())

const events = async (fields: Record<string, unknown>): Promise<StreamEvent[]> => {
  const response = await post(backend.url, token, aBody(fields))
  expect(response.status).toBe(200)
  return parseStream(await response.text())
}

const aCall = (call_id: string): Item => ({
  type: 'function_call',
  id: `fc_${call_id}`,
  call_id,
  name: 'bash',
  arguments: '{"command":"true"}',
  status: 'completed',
})
const anOutput = (call_id: string): Item => ({
  type: 'function_call_output',
  call_id,
  output: 'exit code: 0\nwall time: 0 s\noutput:\n',
})

test('a response begins with created, ends with completed, and counts its events', async () => {
  const stream = await events({ input: [user('look around')] })

  expect(stream[0]?.type).toBe('response.created')
  expect(stream.filter(({ type }) => type === 'response.completed')).toEqual([stream.at(-1)])
  expect(stream.map(({ sequence_number }) => sequence_number)).toEqual(stream.map((_, i) => i))
})

test('a message grows between its announcement and its end', async () => {
  const stream = (await events({})).filter(({ output_index }) => output_index === 0)

  const types = stream.map(({ type }) => type)
  const deltas = stream.filter(({ type }) => type === 'response.output_text.delta')
  const [item] = itemsOf(stream)
  expect(types.filter((type) => !type.endsWith('.delta'))).toEqual([
    'response.output_item.added',
    'response.content_part.added',
    'response.output_text.done',
    'response.content_part.done',
    'response.output_item.done',
  ])
  expect(stream[0]?.item).toMatchObject({ status: 'in_progress', content: [] })
  expect(deltas.length).toBeGreaterThan(5)
  expect(item).toMatchObject({ role: 'assistant', phase: 'final_answer' })
  expect(item?.content).toEqual([
    {
      type: 'output_text',
      text: deltas.map(({ delta }) => delta).join(''),
      annotations: [],
      logprobs: [],
    },
  ])
})

test('reasoning comes first, with a streamed summary and something encrypted', async () => {
  const stream = await events({ input: [user('run: true')] })

  const [reasoning, call] = itemsOf(stream)
  const deltas = stream.filter(({ type }) => type === 'response.reasoning_summary_text.delta')
  expect(reasoning).toMatchObject({
    type: 'reasoning',
    id: expect.stringMatching(/^rs_/),
    encrypted_content: expect.stringMatching(/^[\w-]{20,}$/),
    summary: [{ type: 'summary_text', text: deltas.map(({ delta }) => delta).join('') }],
  })
  expect(deltas.length).toBeGreaterThan(1)
  expect(call).toMatchObject({
    type: 'function_call',
    id: expect.stringMatching(/^fc_/),
    call_id: expect.stringMatching(/^call_/),
    name: 'bash',
    arguments: '{"command":"true"}',
  })
})

test('reasoning is only encrypted for who asks for it', async () => {
  const [reasoning] = itemsOf(await events({ input: [user('run: true')], include: [] }))

  expect(reasoning).not.toHaveProperty('encrypted_content')
})

const usageOf = (stream: StreamEvent[]) => {
  const response = stream.at(-1)?.response as { usage: Record<string, number> } | undefined
  return response?.usage
}

test('usage follows the sizes, and what was sent before counts as cached', async () => {
  const opening = [user('run: true')]
  const first = await events({ input: opening })
  const longer = [...opening, aCall('c1'), anOutput('c1')]

  const second = await events({ input: longer })
  const elsewhere = await events({ input: longer, prompt_cache_key: 'another' })

  const [one, two, three] = [first, second, elsewhere].map(usageOf)
  expect(one).toMatchObject({
    input_tokens_details: { cached_tokens: 0 },
    total_tokens: Number(one?.input_tokens) + Number(one?.output_tokens),
  })
  expect(Number(one?.output_tokens)).toBeGreaterThan(0)
  expect(two?.input_tokens).toBeGreaterThan(Number(one?.input_tokens))
  expect(two?.input_tokens_details).toEqual({ cached_tokens: one?.input_tokens })
  expect(three?.input_tokens_details).toEqual({ cached_tokens: 0 })
  expect(three?.input_tokens).toBe(two?.input_tokens)
})

test('a changed beginning spoils the cache', async () => {
  await events({ input: [user('hello'), user('hi')] })

  const stream = await events({ input: [user('Hello'), user('hi')], tools: [] })

  expect(stream.at(-1)?.response).toMatchObject({
    usage: { input_tokens_details: { cached_tokens: 0 } },
  })
})

test('a call without an output is refused in the words of the service', async () => {
  const input = [user('hello'), aCall('c1'), aCall('c2'), anOutput('c1')]

  const response = await post(backend.url, token, aBody({ input }))

  expect(response.status).toBe(400)
  expect(await response.json()).toEqual({
    error: {
      message: 'No tool output found for function call c2.',
      type: 'invalid_request_error',
      param: 'input',
      code: null,
    },
  })
})

test('an output without a call is refused', async () => {
  const response = await post(backend.url, token, aBody({ input: [user('hello'), anOutput('c9')] }))

  expect(response.status).toBe(400)
  expect(await response.text()).toContain('c9')
})

test.each([
  ['is not JSON', '{"model":', 'JSON'],
  ['is no object', '[]', 'body'],
  ['has no model', aBody({ model: undefined }), "'model'"],
  ['has no input', aBody({ input: undefined }), "'input'"],
  ['has an item without a type', aBody({ input: [{}] }), "'input"],
  ['wants to be stored', aBody({ store: true }), 'Store must be set to false'],
  ['asks for more than it takes', aBody({ max_output_tokens: 9 }), 'Unsupported parameter: max_'],
  ['leaves storing open', aBody({ store: undefined }), 'Store must be set to false'],
  ['wants no stream', aBody({ stream: false }), 'Stream must be set to true'],
])('a request that %s is refused', async (_, body, words) => {
  const response = await post(backend.url, token, body)

  expect(response.status).toBe(400)
  expect(await response.text()).toContain(words)
})

test('a model it does not have is named in the refusal', async () => {
  const response = await post(backend.url, token, aBody({ model: 'gpt-9' }))

  expect(response.status).toBe(404)
  expect(await response.json()).toMatchObject({
    error: { code: 'model_not_found', message: expect.stringContaining('gpt-9') },
  })
})

test.each(['', 'Bearer another', 'Bearer ', token])(
  'authorization "%s" is refused',
  async (authorization) => {
    const response = await fetch(backend.url, {
      method: 'POST',
      headers: { authorization },
      body: JSON.stringify(aBody()),
    })

    expect(response.status).toBe(401)
    expect(await response.json()).toEqual({ detail: 'Unauthorized' })
  },
)

test.each([
  ['GET', '/v1/responses'],
  ['POST', '/v1/chat/completions'],
])('%s %s is not found', async (method, path) => {
  const response = await fetch(new URL(path, backend.url), { method })

  expect(response.status).toBe(404)
  expect(await response.json()).toHaveProperty('error.message')
})

test('it is reachable from this machine only', () => {
  expect(backend.url.hostname).toBe('127.0.0.1')
})

test('closing ends open streams and frees the port', async () => {
  const slow = await startDemoBackend({ token, paceMs: 60_000 })
  const response = await post(slow.url, token, aBody())
  const reader = response.body?.getReader()
  await reader?.read()

  const rest = drain(reader)
  await slow.close()

  await expect(rest).rejects.toThrow()
  await expect(fetch(slow.url)).rejects.toThrow()
  await slow.close()
})

test('a client that leaves in the middle does no harm', async () => {
  const slow = await startDemoBackend({ token, paceMs: 60_000 })
  await new Promise<void>((resolve) => {
    const leaving = request(slow.url, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
    })
    leaving.on('error', () => {})
    leaving.once('response', (response) => {
      response.once('data', () => leaving.destroy())
      response.once('close', resolve)
    })
    leaving.end(JSON.stringify(aBody()))
  })

  const response = await post(slow.url, token, aBody())

  expect(response.status).toBe(200)
  await response.body?.cancel()
  await slow.close()
})

async function drain(reader: ReadableStreamDefaultReader<Uint8Array> | undefined): Promise<void> {
  while (reader && !(await reader.read()).done);
}
