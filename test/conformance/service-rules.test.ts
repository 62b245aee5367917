import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { textAnswer } from '../fakes/model-server.ts'
import { type AskedRequest, type KnownModel, refusalOf } from '../fakes/service-rules.ts'
import { type Cleanup, play, recording } from './replay.ts'

/** What our own agent sends. */
async function ourRequest(t: Cleanup, lite: boolean): Promise<AskedRequest> {
  const { server } = await play(t, [textAnswer()], { form: { lite } })
  const [request] = server.requests
  if (!request) throw new Error('nothing was sent')
  return request
}

const changed = ({ header, body }: AskedRequest, more: Record<string, unknown>): AskedRequest => ({
  header,
  body: { ...body, ...more },
})

test.for([false, true])('the stand-in takes what our agent sends (lite: %s)', async (lite, t) => {
  expect(refusalOf(await ourRequest(t, lite))).toBeUndefined()
})

test.for<[string, Record<string, unknown>, RegExp]>([
  ['store: true', { store: true }, /Store must be set to false/],
  ['no store', { store: undefined }, /Store must be set to false/],
  ['stream: false', { stream: false }, /Stream must be set to true/],
  ['max_output_tokens', { max_output_tokens: 100 }, /Unsupported parameter: max_output_tokens/],
  ['temperature', { temperature: 0 }, /Unsupported parameter: temperature/],
  ['previous_response_id', { previous_response_id: 'r' }, /Unsupported parameter: previous_resp/],
  ['context_management', { context_management: [] }, /Unsupported parameter: context_management/],
  ['a call without its output', { input: [aCall()] }, /No tool output found/],
  ['a system message', { input: [aSystemMessage()] }, /System messages are not allowed/],
  ['input that is a text', { input: 'Hello.' }, /Input must be a list/],
])('the stand-in refuses %s', async ([, more, words], t) => {
  const refused = refusalOf(changed(await ourRequest(t, false), more))

  expect(refused).toMatchObject({ status: 400, isViolation: true })
  expect(JSON.stringify(refused?.body)).toMatch(words)
})

test.for([true, undefined])(
  'the stand-in refuses parallel_tool_calls: %s in the lite form',
  async (value, t) => {
    const lite = await ourRequest(t, true)
    const classic = await ourRequest(t, false)

    expect(refusalOf(changed(lite, { parallel_tool_calls: value }))).toMatchObject({
      status: 400,
      body: { error: { code: 'unsupported_value', param: 'parallel_tool_calls' } },
      isViolation: true,
    })
    expect(refusalOf(changed(classic, { parallel_tool_calls: value }))).toBeUndefined()
  },
)

test.for(['gpt-5.6-sol', 'gpt-5.6-terra', 'gpt-5.6-luna'])(
  'the stand-in takes %s in the classic form with parallel calls, from an originator of our own',
  async (model, t) => {
    const classic = await ourRequest(t, false)

    expect(classic.body).toMatchObject({ parallel_tool_calls: true, tools: expect.anything() })
    expect([classic.header('originator'), classic.header('version')]).toEqual([
      'codexbox',
      undefined,
    ])
    expect(refusalOf(changed(classic, { model }))).toBeUndefined()
  },
)

test.for(['gpt-5.1-codex', 'gpt-5.3-codex', 'gpt-5', 'codex-mini-latest'])(
  'the stand-in has retired %s',
  async (model, t) => {
    expect(refusalOf(changed(await ourRequest(t, false), { model }))).toMatchObject({
      status: 400,
      body: { detail: expect.stringContaining('not supported when using Codex') },
    })
  },
)

test.for<[NonNullable<KnownModel['gate']>['words'], number]>([
  ['newer-version', 400],
  ['chatgpt-account', 400],
  ['not-found', 404],
])('the stand-in has a model that is gated (%s)', async ([words, status], t) => {
  const request = changed(await ourRequest(t, false), { model: 'gpt-9' })
  const models = [{ slug: 'gpt-9', gate: { words, version: '0.166.0' } }]
  const naming = (version: string): AskedRequest => ({
    ...request,
    header: (name) => (name === 'version' ? version : request.header(name)),
  })

  expect(refusalOf(request, models)).toMatchObject({ status, isViolation: false })
  expect(refusalOf(naming('0.165.9'), models)).toMatchObject({ status })
  expect(refusalOf(naming('0.166.0'), models)).toBeUndefined()
})

test('the stand-in takes every parameter that the official client was recorded with', () => {
  const names = readdirSync(join(import.meta.dirname, '../fixtures/recordings'))
    .map((file) => file.replace(/\.json$/, ''))
    .filter((name) => /^\d/.test(name))
  const bodies = names
    .map((name) => recording(name).sent?.body)
    .filter((body) => body !== undefined)

  expect(bodies.length).toBeGreaterThan(5)
  for (const body of bodies) {
    const asked = { header: () => undefined, body: { ...body, input: [] } }
    expect(refusalOf(asked)).toBeUndefined()
  }
})

function aSystemMessage() {
  return { type: 'message', role: 'system', content: [{ type: 'input_text', text: 'Be brief.' }] }
}

function aCall() {
  return { type: 'function_call', call_id: 'call_1', name: 'bash', arguments: '{}' }
}
