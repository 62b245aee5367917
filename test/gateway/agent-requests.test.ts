import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { History } from '../../container/agent/history.ts'
import { headItems, requestBody } from '../../container/agent/request-body.ts'
import { bodyPolicy } from '../../host/gateway/body-policy.ts'
import { GATEWAY_URL, openGateway } from '../../host/gateway/gateway.ts'
import type { Budget } from '../../host/gateway/run-budget.ts'
import type { Item } from '../../shared/items.ts'
import type { RunRequest } from '../../shared/protocol.ts'
import { eventsOf } from '../conformance/replay.ts'
import { startAgent } from '../fakes/agent-process.ts'
import { someGatewayOptions } from '../fakes/gateway-options.ts'
import {
  callsAnswer,
  type Exchange,
  failedAnswer,
  itemsAnswer,
  messageItem,
  startModelServer,
  textAnswer,
} from '../fakes/model-server.ts'
import { aRunRequest } from '../fakes/run-request.ts'
import type { KnownModel } from '../fakes/service-rules.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanUp of cleanups.splice(0).reverse()) await cleanUp()
})

type Asked = Parameters<typeof aRunRequest>[0]

/** The real agent, run to its end, with the gateway between it and a model that follows `script`. */
async function runThroughGateway(
  script: Exchange[],
  asked: Asked = {},
  budget?: Partial<Budget>,
  models?: readonly KnownModel[],
) {
  const model = await startModelServer(script, models ? { models } : {})
  cleanups.push(model.close)
  const workspace = mkdtempSync(join(tmpdir(), 'codexbox-workspace-'))
  cleanups.push(() => rmSync(workspace, { recursive: true, force: true }))
  writeFileSync(join(workspace, 'dot.png'), DOT)
  const runPolicy = runPolicyOf(aRunRequest(asked))
  const gateway = await openGateway(
    {
      responsesUrl: new URL(model.endpoint.url),
      headers: {},
      settingsFor: () => Promise.reject(new Error('The gateway has no use for them.')),
      owner: 'test',
      getSecrets: async () => ({ CODEX_ACCESS_TOKEN: 'real' }),
      close: async () => {},
    },
    someGatewayOptions({ runPolicy, ...(budget ? { budget } : {}) }),
  )
  cleanups.push(() => gateway.close())
  const request = aRunRequest({
    workspace,
    ...asked,
    secrets: { CODEX_ACCESS_TOKEN: gateway.grant('run-1') },
    endpoint: { url: GATEWAY_URL, socketPath: join(gateway.socketFolder, 'gateway.sock') },
  })
  const agent = startAgent(request)
  cleanups.push(() => agent.stop())
  return { agent, model, finished: await agent.finished(), account: gateway.usageOf('run-1') }
}

const runPolicyOf = ({ conversationId, model, form }: RunRequest) => ({
  conversationId,
  model,
  form,
})

/** One pixel. */
const DOT = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)

const PATCH = '*** Begin Patch\n*** Add File: a.txt\n+a\n*** End Patch\n'

/** All that a model may say at once, with what a service adds to it. */
const everything: Item[] = [
  {
    type: 'reasoning',
    id: 'rs_1',
    summary: [{ type: 'summary_text', text: 'Hm.' }],
    encrypted_content: 'sealed',
    internal_chat_message_metadata_passthrough: { turn_id: 'a', create_time: 1.5 },
  },
  { ...messageItem('I look at https://example.com/ and "image_url".'), phase: 'commentary' },
  {
    type: 'web_search_call',
    id: 'ws_1',
    status: 'completed',
    action: {
      type: 'search',
      query: 'a',
      queries: ['a'],
      sources: [{ url: 'https://a.example/' }],
    },
  },
  {
    type: 'function_call',
    id: 'fc_1',
    call_id: 'call_1',
    name: 'view_image',
    namespace: 'functions',
    status: 'completed',
    arguments: '{"path":"dot.png"}',
  },
  {
    type: 'custom_tool_call',
    id: 'ctc_1',
    call_id: 'call_2',
    name: 'apply_patch',
    status: 'completed',
    input: PATCH,
  },
]

const long = (answer: Exchange): Exchange => ({
  ...answer,
  body: String(answer.body).replaceAll('"input_tokens":100', '"input_tokens":9000'),
})
const sealed: Item = { type: 'compaction', id: 'cmp_1', encrypted_content: 'sealed' }
const bash = callsAnswer(['bash', { command: 'echo "a"' }])

const forms: [what: string, script: Exchange[], asked: Asked][] = [
  ['the usual form', [itemsAnswer(everything), bash, textAnswer()], {}],
  ['the form of lite models', [itemsAnswer(everything), textAnswer()], { form: { lite: true } }],
  [
    'a lite model that may search the web',
    [itemsAnswer(everything), textAnswer()],
    { form: { lite: true, webSearch: true } },
  ],
  ['a search of the web', [itemsAnswer(everything), textAnswer()], { form: { webSearch: true } }],
  [
    'no tools but the plain ones',
    [bash, textAnswer()],
    { form: { applyPatch: false, images: false }, reasoning: {} },
  ],
  [
    'images, a schema, a summary of the reasoning and a verbosity',
    [textAnswer('{"a":1}')],
    {
      images: [`data:image/png;base64,${DOT.toString('base64')}`],
      outputSchema: { type: 'object', properties: { a: { $ref: '#/$defs/file_id' } } },
      reasoning: { effort: 'xhigh', summary: 'detailed' },
      verbosity: 'high',
    },
  ],
  [
    'a compaction by the service',
    [long(bash), itemsAnswer([sealed]), textAnswer()],
    { form: { compactAtTokens: 5000 } },
  ],
  [
    'a compaction by the model',
    [long(bash), textAnswer('All of it.'), textAnswer()],
    { form: { compactAtTokens: 5000, compaction: 'summary' } },
  ],
  [
    'what follows a fault, a state of the turn, and reasoning that is not taken back',
    [
      { ...itemsAnswer(everything), headers: { 'x-codex-turn-state': 'state-1' } },
      { status: 503, body: {} },
      failedAnswer('invalid_encrypted_content', 'The encrypted content could not be read.'),
      textAnswer(),
    ],
    {},
  ],
]

test.each(forms)('what our agent sends passes: %s', async (_, script, asked) => {
  const { model, finished, account } = await runThroughGateway(script, asked)

  expect(finished).toMatchObject({ status: 'done' })
  expect({ left: model.left, unscripted: model.unscripted }).toEqual({ left: 0, unscripted: 0 })
  expect(account).toMatchObject({ requests: script.length, refusals: 0, openRequests: 0 })
})

/** What a service may add one day, and what the gateway does not pass on. */
const leading: Item[] = [
  {
    ...messageItem('See a.txt.'),
    content: [
      {
        type: 'output_text',
        text: 'See a.txt.',
        annotations: [{ type: 'file_citation', file_id: 'file_1', filename: 'a.txt', index: 9 }],
      },
    ],
  },
  {
    type: 'function_call',
    id: 'fc_1',
    call_id: 'call_1',
    name: 'bash',
    arguments: '{"command":"true"}',
    server_label: 'a',
    origin: [{ image_url: 'https://a.example/' }],
  },
]

test('what a model says with a lead to somewhere else is kept without it, and the run goes on', async () => {
  const { agent, model, finished } = await runThroughGateway([itemsAnswer(leading), textAnswer()])

  expect(finished).toMatchObject({ status: 'done', turns: 2 })
  expect(model.requests[1]?.body.input.slice(2, 4)).toEqual([
    {
      ...messageItem('See a.txt.'),
      content: [{ type: 'output_text', text: 'See a.txt.', annotations: [] }],
    },
    {
      type: 'function_call',
      id: 'fc_1',
      call_id: 'call_1',
      name: 'bash',
      arguments: '{"command":"true"}',
      origin: [{}],
    },
  ])
  expect(eventsOf(agent, 'repair')).toHaveLength(2)
})

test('what a compaction brings is mended as any other item', async () => {
  const lead = { ...sealed, container_id: 'a', id: 'x'.repeat(300) }
  const { finished } = await runThroughGateway([long(bash), itemsAnswer([lead]), textAnswer()], {
    form: { compactAtTokens: 5000 },
  })

  expect(finished).toMatchObject({ status: 'done' })
})

test('what our agent sends goes out to the letter, whatever the model has said', () => {
  const item =
    '{"type":"reasoning","id":"rs_1","10":1,"9":1e21,"a":-0.5,"__proto__":{"b":"\\ud83d"}}'
  const request = aRunRequest({
    history: [JSON.parse(item), messageItem('\u2028\ud83d\ude00\0\\"')],
  })
  const body = requestBody(request, new History(headItems(request), request.history))

  expect(bodyPolicy(runPolicyOf(request))(Buffer.from(body))).toEqual({ body: Buffer.from(body) })
})

test('a run whose agent asks what it may not ends with a sentence that says so, at once', async () => {
  const { model, finished, account } = await runThroughGateway([], {
    history: [{ type: 'item_reference', id: 'msg_1' }],
  })

  expect(finished).toMatchObject({
    status: 'failed',
    error: {
      code: 'request-invalid',
      message: expect.stringContaining('This run may not ask that: input.1.type'),
    },
  })
  expect(account).toMatchObject({ requests: 1, refusals: 1, answers: 0 })
  expect(model.requests).toEqual([])
})

test('a run that has used up its budget ends with a sentence that says so, at once', async () => {
  const { finished, account } = await runThroughGateway([bash, bash], {}, { requests: 2 })

  expect(finished).toMatchObject({
    status: 'failed',
    error: {
      code: 'budget-spent',
      message: expect.stringContaining('This run has used up the 2 requests'),
    },
    turns: 2,
  })
  expect(account).toMatchObject({ requests: 3, refusals: 1, answers: 2 })
})

test('the version that the list of models names goes through, where it is refused without', async () => {
  const { model, finished } = await runThroughGateway(
    [textAnswer()],
    { model: 'gpt-9', form: { minimalClientVersion: '0.166.0' } },
    undefined,
    [{ slug: 'gpt-9', gate: { words: 'not-found', version: '0.166.0' } }],
  )

  expect(finished.status).toBe('done')
  expect(model.requests.map((request) => request.header('version'))).toEqual([undefined, '0.166.0'])
})
