import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bodyPolicy, type RunPolicy } from '../../host/gateway/body-policy.ts'
import { aModelRequest, someGatewayOptions } from '../fakes/gateway-options.ts'
import { isFull } from '../full-size.ts'

const runPolicyWith = (form: Partial<RunPolicy['form']> = {}) =>
  someGatewayOptions({ runPolicy: { form: { lite: false, webSearch: false, ...form } } }).runPolicy

/** By a policy that has seen nothing before, unless one is given. */
const check = (body: string, runPolicy = runPolicyWith(), policy = bodyPolicy(runPolicy)) => {
  const result = policy(Buffer.from(body))
  return 'body' in result ? { text: result.body.toString() } : result
}
const passes = (given: object, runPolicy?: RunPolicy) => {
  const body = aModelRequest({ ...given })
  expect(check(body, runPolicy)).toEqual({ text: body })
}
const isRefused = (body: string, why: string, runPolicy?: RunPolicy) =>
  expect(check(body, runPolicy)).toEqual({ refused: expect.stringContaining(why) })

// ---- what our agent sends ----

const bash = { type: 'function', name: 'bash', description: '', strict: false, parameters: {} }
const format = { type: 'grammar', syntax: 'lark', definition: 'start: "a"' }
const patch = { type: 'custom', name: 'apply_patch', description: '', format }
const search = {
  type: 'web_search',
  external_web_access: true,
  search_content_types: ['text', 'image'],
}
const namespace = { type: 'namespace', name: 'functions', description: '', tools: [bash, patch] }
const liteTools = { type: 'additional_tools', id: 'at_1', role: 'developer', tools: [namespace] }
const image = { type: 'input_image', image_url: 'data:image/png;base64,iVBO', detail: 'auto' }
const text = { type: 'input_text', text: 'See https://example.com/a?b=c and image_url.' }
const user = { type: 'message', role: 'user', id: 'msg_1', content: [image, text] }
const answer = {
  type: 'message',
  id: 'msg_2',
  role: 'assistant',
  status: 'completed',
  phase: 'final_answer',
  content: [
    {
      type: 'output_text',
      text: 'Done.',
      annotations: [{ type: 'url_citation', url: 'https://example.com/', start_index: 0 }],
      logprobs: [],
    },
    { type: 'refusal', refusal: 'No.' },
  ],
}
const history = [
  { type: 'message', role: 'developer', content: [text] },
  user,
  { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: '' }], content: null },
  { type: 'function_call', id: 'fc_1', call_id: 'call_1', name: 'bash', arguments: '{"a":1' },
  { type: 'function_call_output', id: 'fco_1', call_id: 'call_1', output: [text, image] },
  { type: 'custom_tool_call', id: 'ctc_1', call_id: 'call_2', name: 'apply_patch', input: '*** ' },
  { type: 'custom_tool_call_output', call_id: 'call_2', output: 'Done.' },
  { type: 'web_search_call', id: 'ws_1', action: { type: 'open_page', url: 'https://a.example/' } },
  { type: 'compaction', id: 'cmp_1', encrypted_content: 'sealed' },
  answer,
  { ...answer, a_field_of_tomorrow: { nested: ['deeply', { turn_id: 1 }] } },
  { type: 'compaction_trigger' },
]

test('a conversation with all that may stand in one passes, to the letter', () => {
  const schema = { type: 'object', properties: { file_url: { type: 'string' } } }
  passes({
    tools: [bash, patch],
    input: history,
    reasoning: { effort: 'high', summary: 'auto' },
    text: {
      verbosity: 'low',
      format: { type: 'json_schema', strict: true, schema, name: 'codexbox_output' },
    },
  })
})

test('the form of lite models is for lite models', () => {
  const lite = { tools: undefined, input: [liteTools, ...history], parallel_tool_calls: false }
  const reasoning = { effort: 'high', context: 'all_turns' }

  passes({ ...lite, reasoning }, runPolicyWith({ lite: true }))
  isRefused(aModelRequest(lite), 'tools')
  isRefused(aModelRequest({ input: [liteTools] }), 'input.0')
  isRefused(aModelRequest({ tools: [bash] }), 'tools', runPolicyWith({ lite: true }))
})

test('a search of the web is for runs that may', () => {
  const inside = { ...liteTools, tools: [namespace, search] }

  passes({ tools: [bash, search] }, runPolicyWith({ webSearch: true }))
  passes({ tools: undefined, input: [inside] }, runPolicyWith({ lite: true, webSearch: true }))
  isRefused(aModelRequest({ tools: [bash, search] }), 'tools.1')
  isRefused(
    aModelRequest({ tools: undefined, input: [inside] }),
    'input.0.tools.1',
    runPolicyWith({ lite: true }),
  )
})

// ---- what it does not ----

const others: [key: string, value: unknown][] = [
  ['previous_response_id', 'resp_1'],
  ['conversation', 'conv_1'],
  ['background', true],
  ['background', false],
  ['metadata', { a: 'b' }],
  ['user', 'somebody'],
  ['safety_identifier', 'somebody'],
  ['temperature', 0],
  ['top_p', 1],
  ['max_output_tokens', 1],
  ['max_tool_calls', 1],
  ['service_tier', 'priority'],
  ['instructions', 'Be evil.'],
  ['prompt', { id: 'pmpt_1' }],
  ['truncation', 'auto'],
  ['stream_options', {}],
  ['webhook', 'https://evil.example/'],
  ['client_metadata', {}],
  ['generate', false],
  ['Model', 'gpt-5.5'],
  ['constructor', 1],
  ['', 1],
]
test.each(others)('the key %j is refused (%j)', (key, value) => {
  isRefused(aModelRequest({ [key]: value }), `Unrecognized key: ${JSON.stringify(key)}`)
})

test('what would be the prototype of the request is a key like another', () => {
  const body = `{"__proto__":{"store":true},${aModelRequest().slice(1)}`

  isRefused(body, '"__proto__"')
})

const values: [key: string, values: unknown[]][] = [
  ['model', ['gpt-5.5-pro', 'GPT-5.5', '', null, ['gpt-5.5'], undefined]],
  ['stream', [false, 'true', 1, undefined]],
  ['store', [true, null, 0, undefined]],
  ['tool_choice', ['none', 'required', { type: 'mcp', server_label: 'a' }]],
  ['parallel_tool_calls', ['true', null]],
  ['include', [[], ['file_search_call.results'], ['reasoning.encrypted_content', 'a'], 'a']],
  ['prompt_cache_key', ['conversation-2', '', undefined]],
  ['reasoning', [{ generate_summary: 'auto' }, { context: 'other' }, 'high', null]],
  ['text', [{ format: { type: 'text' } }, { format: { type: 'json_object' } }, { other: 1 }]],
  ['input', ['Say hello.', {}, null, [null], ['a'], [[]], [{}], undefined]],
  ['tools', [{}, null, [null], ['bash'], undefined]],
]
test.each(values.flatMap(([key, list]) => list.map((value) => [key, value] as const)))(
  '%s: %j is refused',
  (key, value) => {
    isRefused(aModelRequest({ [key]: value }), key)
  },
)

const HOSTED = [
  {
    type: 'mcp',
    server_label: 'a',
    server_url: 'https://evil.example/',
    require_approval: 'never',
  },
  { type: 'code_interpreter', container: { type: 'auto' } },
  { type: 'file_search', vector_store_ids: ['vs_1'] },
  { type: 'image_generation' },
  { type: 'computer_use_preview', display_width: 1, display_height: 1, environment: 'linux' },
  { type: 'computer' },
  { type: 'web_search_preview' },
  { type: 'web_search' },
  { ...search, user_location: { type: 'approximate' } },
  { type: 'local_shell' },
  { type: 'shell', environment: { type: 'container_auto' } },
  { type: 'apply_patch' },
  { type: 'tool_search' },
  { ...bash, type: ['function'] },
  { ...bash, server_url: 'https://evil.example/' },
  { ...bash, parameters: 'a' },
  { ...patch, format: { type: 'text' } },
  namespace,
]
test.each(HOSTED)('a tool that is not ours to run is refused, wherever it stands: %j', (tool) => {
  isRefused(aModelRequest({ tools: [bash, tool] }), 'tools.1')
  for (const tools of [[tool], [{ ...namespace, tools: [bash, tool] }]]) {
    if (tools[0] === namespace) continue
    const body = aModelRequest({ tools: undefined, input: [{ ...liteTools, tools }] })
    isRefused(body, 'input.0.tools.0', runPolicyWith({ lite: true }))
  }
})

const call = { type: 'function_call', call_id: 'call_1', name: 'bash', arguments: '{}' }
const ITEMS = [
  { type: 'item_reference', id: 'msg_1' },
  { type: 'file_search_call', id: 'fs_1', queries: [] },
  { type: 'code_interpreter_call', container_id: 'cntr_1' },
  { type: 'image_generation_call', id: 'ig_1' },
  { type: 'computer_call_output', output: { image_url: 'https://evil.example/' } },
  { type: 'mcp_approval_response', approve: true },
  { type: 'local_shell_call', action: {} },
  { type: 'shell_call_output' },
  { type: 'tool_search_output', tools: [HOSTED[0]] },
  { role: 'user', content: 'no type' },
  { ...user, role: 'system' },
  { ...user, role: 'tool' },
  { ...user, content: 'text alone' },
  { ...user, content: ['text alone'] },
  { ...user, image_url: 'data:image/png;base64,a' },
  ...['https://evil.example/?q=1', 'http://10.0.0.1/', '//evil.example', 'file:///etc/passwd'].map(
    (image_url) => ({ ...user, content: [{ type: 'input_image', image_url }] }),
  ),
  { ...user, content: [{ type: 'input_image', image_url: ' data:image/png;base64,a' }] },
  ...['svg+xml;base64,a', 'svg+xml,<image href="https://evil.example/"/>', 'png,a', ''].map(
    (form) => ({
      ...user,
      content: [{ type: 'input_image', image_url: `data:image/${form}` }],
    }),
  ),
  { ...user, content: [{ type: 'input_image', image_url: { url: 'https://evil.example/' } }] },
  { ...user, content: [{ type: 'input_image', file_id: 'file_1' }] },
  { ...user, content: [{ ...image, file_id: 'file_1' }] },
  { ...user, content: [{ type: 'input_file', file_url: 'https://evil.example/' }] },
  { ...user, content: [{ type: 'input_file', file_data: 'data:text/plain;base64,a' }] },
  { ...user, content: [{ type: 'input_audio', input_audio: { data: 'a' } }] },
  { type: 'function_call_output', call_id: 'c', output: [{ type: 'input_file', file_id: 'a' }] },
  { type: 'function_call_output', call_id: 'c', output: { image_url: 'https://evil.example/' } },
  { ...answer, content: [{ type: 'input_image', image_url: 'https://evil.example/' }] },
  { ...answer, content: [{ ...answer.content[0], image_url: 'https://evil.example/' }] },
  { ...answer, attachments: [{ file_id: 'file_1' }] },
  { ...call, source: [{ nested: { download_uri: 'https://evil.example/' } }] },
  { ...call, arguments: { command: 'a' } },
  { ...call, server_label: 'a' },
  { type: 'reasoning', summary: [], files: ['file_1'] },
  { type: 'compaction_trigger', callback_url: 'https://evil.example/' },
]
test.each(ITEMS)('an item that would make the service do more is refused: %j', (item) => {
  isRefused(aModelRequest({ input: [user, item] }), 'input.1')
})

test('what would be the prototype of an item hides nothing', () => {
  const hidden = '{"__proto__":{"image_url":"https://evil.example/"},"type":"reasoning"}'
  const body = aModelRequest({ input: ['HIDDEN'] }).replace('"HIDDEN"', hidden)

  isRefused(body, 'input.0')
})

const NO_REQUESTS = ['', ' ', '{', 'null', '[]', '"a"', '1', '{}', '{"a":1}{"b":2}', '\ud800', '\0']
test.each([
  ...NO_REQUESTS,
  `[${aModelRequest()}]`,
  `${aModelRequest()},`,
  `${aModelRequest()}${aModelRequest()}`,
])('what is no request is refused: %j', (body) => {
  expect(check(body)).toHaveProperty('refused')
})

test.each([
  ['depth that nobody can write again', `{"model":${'['.repeat(1e5)}${']'.repeat(1e5)}}`],
  ['depth in a place that is free', aModelRequest({ input: ['DEEP'] })],
])('%s is refused, and nothing breaks', (_, body) => {
  const deep = `${'{"a":'.repeat(1e5)}1${'}'.repeat(1e5)}`
  const item = `{"type":"reasoning","a":${deep}}`

  expect(check(body.replace('"DEEP"', item))).toHaveProperty('refused')
})

describe('of a body of many megabytes', () => {
  test('one that is nothing but brackets is not parsed', () => {
    isRefused(`[${'[],'.repeat(4e6)}[]]`, 'too many parts')
  })

  test('one that is images and text is', () => {
    const long = { type: 'input_text', text: '[],"\\'.repeat(2e6) }
    passes({ input: [{ ...user, content: [long, long] }] })
  })
})

test('a refusal tells of the place, and not of what stands there', () => {
  const secret = 'canary-81d3'

  const told = [
    check(aModelRequest({ model: secret })),
    check(aModelRequest({ input: [{ ...user, content: [{ ...image, image_url: secret }] }] })),
    check(`{"model":"${secret}`),
  ]

  expect(JSON.stringify(told)).not.toContain(secret)
  isRefused(aModelRequest({ ['a'.repeat(10_000)]: 1 }), '…')
})

// ---- at random ----

test('of many bodies that are nearly right, none gets anything past', {
  timeout: 120_000,
}, () => {
  const runs = isFull ? 100_000 : 4_000
  let passed = 0
  const whole = aModelRequest({ tools: [bash, patch], input: history })
  const policy = bodyPolicy(runPolicyWith())

  fc.assert(
    fc.property(someTwists, (twists) => {
      const value = twisted(JSON.parse(whole), twists)
      const result = check(JSON.stringify(value), undefined, policy)
      if (!('text' in result)) return
      passed++
      expect(result.text).toBe(JSON.stringify(value))
      expect(dangersOf(JSON.parse(result.text))).toEqual([])
    }),
    { numRuns: runs },
  )

  // Or this would show nothing: some changes do no harm.
  expect(passed).toBeGreaterThan(runs / 10)
  expect(passed).toBeLessThan(runs / 2)
})

describe('a conversation that goes on', () => {
  const before = aModelRequest({ tools: [bash, patch], input: history })
  const withMore = (more: string) => `${before.slice(0, -2)},${more}]}`
  /** By a policy that has seen `before` last, and by one that has not. */
  const checkTwice = (
    body: string,
    seasoned = bodyPolicy(runPolicyWith()),
    fresh = bodyPolicy(runPolicyWith()),
  ) => {
    check(before, undefined, seasoned)
    check(aModelRequest({ input: [user] }), undefined, fresh)
    return [check(body, undefined, seasoned), check(body, undefined, fresh)]
  }

  test('passes to the letter, step by step', () => {
    const policy = bodyPolicy(runPolicyWith())

    for (let length = 0; length <= history.length; length++) {
      const body = aModelRequest({ input: history.slice(0, length) })
      for (let time = 0; time < 2; time++) {
        expect(check(body, undefined, policy)).toEqual({ text: body })
      }
    }
  })

  test.each(ITEMS)('is refused as any other, in the same words, for %j', (item) => {
    const [seasoned, fresh] = checkTwice(withMore(JSON.stringify([call, item]).slice(1, -1)))

    expect(seasoned).toEqual(fresh)
    expect(seasoned).toEqual({ refused: expect.stringContaining(`input.${history.length + 1}`) })
  })

  test.each([
    `${JSON.stringify(call)}],"store":true,"x":[1`,
    `${JSON.stringify(call)}],"input":[${JSON.stringify(ITEMS[0])}`,
    `${JSON.stringify(call)}]}{"input":[${JSON.stringify(call)}`,
    '',
    ' ',
    ',',
    '{}],[{}',
    JSON.stringify(call).slice(0, -1),
    `${JSON.stringify(call)},`,
    `${JSON.stringify(call)}\0`,
  ])('is refused as any other when what is added is no list by itself: %j', (more) => {
    const [seasoned, fresh] = checkTwice(withMore(more))

    expect(seasoned).toEqual(fresh)
    expect(seasoned).toHaveProperty('refused')
  })

  test.each([
    ['a key that stands there twice', '{"type":"reasoning","id":"a","id":"b"}'],
    ['white space', ` ${JSON.stringify(call)} `],
    ['a number in another form', '{"type":"reasoning","a":1.0}'],
    ['letters in another form', '{"type":"reasoning","a":"\\u0041"}'],
  ])('is written anew with %s in what is added', (_, more) => {
    const [seasoned, fresh] = checkTwice(withMore(more))

    expect(seasoned).toEqual({ text: JSON.stringify(JSON.parse(withMore(more))) })
    expect(fresh).toEqual(seasoned)
  })

  test('is written anew where bytes are no text', () => {
    const policy = bodyPolicy(runPolicyWith())
    check(before, undefined, policy)
    const item = Buffer.from('{"type":"reasoning","a":"XXX"}')
    // A character that is cut short; what stands for it has as many bytes.
    item.set([0xf0, 0x9f, 0x98], item.indexOf('XXX'))
    const body = Buffer.concat([
      Buffer.from(before.slice(0, -2)),
      Buffer.from(','),
      item,
      Buffer.from(']}'),
    ])

    const result = policy(body)

    expect(result).toEqual({ body: Buffer.from(body.toString()) })
    expect(policy(body)).toEqual(result)
  })

  test('breaks nothing, however deep what is added is', () => {
    for (let depth = 500; depth < 20_000; depth += 500) {
      const deep = `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`

      const [seasoned] = checkTwice(withMore(`{"type":"reasoning","a":${deep}}`))

      expect(seasoned).toSatisfy((result) => 'text' in result || 'refused' in result)
    }
  })

  test('has to have begun', () => {
    const policy = bodyPolicy(runPolicyWith())
    check(aModelRequest({ input: [] }), undefined, policy)

    const body = aModelRequest({ input: [call] }).replace('"input":[', '"input":[,')

    expect(check(body, undefined, policy)).toEqual({ refused: 'the body is no JSON' })
  })

  test('is looked at as a whole where it begins in another way', () => {
    const other = withMore(JSON.stringify(call)).replace('"store":false', '"store":true')

    const [seasoned, fresh] = checkTwice(other)

    expect(seasoned).toEqual({ refused: expect.stringContaining('store') })
    expect(fresh).toEqual(seasoned)
  })

  test('is looked at as a whole where its input is not the end of it', () => {
    const { tools, ...others } = JSON.parse(aModelRequest({ input: [user] }))
    const toolsLast = JSON.stringify({ ...others, tools: [bash] })
    const policy = bodyPolicy(runPolicyWith())

    expect(check(toolsLast, undefined, policy)).toEqual({ text: toolsLast })

    const more = `${toolsLast.slice(0, -2)},${JSON.stringify(call)}]}`
    expect(check(more, undefined, policy)).toEqual({ refused: expect.stringContaining('tools.1') })
  })

  test('is judged as any other, however it is twisted', { timeout: 120_000 }, () => {
    const [seasoned, fresh] = [bodyPolicy(runPolicyWith()), bodyPolicy(runPolicyWith())]
    const more = history.slice(0, 3)
    const splice = fc.tuple(
      fc.nat(),
      fc.nat({ max: 3 }),
      fc.constantFrom('', ...'{}[],:" \\01é', '],"input":[', '"id":'),
    )
    let [passed, refused] = [0, 0]

    fc.assert(
      fc.property(someTwists, fc.array(splice, { maxLength: 2 }), (twists, splices) => {
        const added = JSON.stringify(twisted(structuredClone(more), twists)).slice(1, -1)
        const body = splices.reduce((text, [place, count, inserted]) => {
          // Now and then where it was added, or in what came before.
          const at = place % 3 ? before.length + (place % added.length) : place % text.length
          return text.slice(0, at) + inserted + text.slice(at + count)
        }, withMore(added))
        const [one, other] = checkTwice(body, seasoned, fresh)
        expect(one).toEqual(other)
        if (one && 'text' in one) passed++
        else refused++
      }),
      { numRuns: isFull ? 20_000 : 4_000 },
    )

    expect(Math.min(passed, refused)).toBeGreaterThan(50)
  })
})

const HOSTILE_KEYS = ['store', 'background', 'image_url', 'file_url', 'file_id', 'tools', 'type']
const HOSTILE_KEYS_2 = ['__proto__', 'model', 'role', 'server_url', 'vector_store_ids', 'input']
const keys = [...HOSTILE_KEYS, ...HOSTILE_KEYS_2]
const rubbish = fc.oneof(
  fc.constantFrom<unknown>(true, false, null, 0, 'https://evil.example/', 'mcp', 'o9', 'system'),
  fc.constantFrom<unknown>(...HOSTED, ...ITEMS, image, text, 'data:image/png;base64,a'),
  fc.jsonValue({ maxDepth: 2 }),
)

const someTwists = fc.array(
  fc.tuple(fc.nat(), fc.constantFrom('set', 'add', 'drop'), fc.nat(), rubbish),
  { minLength: 1, maxLength: 3 },
)

function twisted(value: object, twists: [number, string, number, unknown][]): object {
  for (const [place, how, key, inserted] of twists) {
    change(value, place, how, key, structuredClone(inserted))
  }
  return value
}

/** Puts something into a place of `value`, adds it, or drops what is there. */
function change(value: object, place: number, how: string, key: number, inserted: unknown): void {
  const inside = [value, ...objectsIn(value)]
  const target = inside[place % inside.length] as Record<string, unknown>
  const there = Object.keys(target)
  const names = how === 'add' ? keys : there
  const name = names[key % names.length] ?? 'x'
  if (how === 'drop') delete target[name]
  else if (Array.isArray(target) && how === 'add') target.push(inserted)
  else {
    // Not by assignment, which would not make a key of `__proto__`.
    const own = { enumerable: true, configurable: true, writable: true }
    Object.defineProperty(target, name, { ...own, value: inserted })
  }
}

function objectsIn(value: unknown): object[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.values(value).flatMap((inner) =>
    typeof inner === 'object' && inner !== null ? [inner, ...objectsIn(inner)] : [],
  )
}

/** Read another way than the policy reads it: everything that a request must not ask of the service. */
function dangersOf(body: Record<string, unknown>): unknown[] {
  const wanted = JSON.parse(aModelRequest()) as Record<string, unknown>
  const fixed = ['model', 'stream', 'store', 'tool_choice', 'include', 'prompt_cache_key']
  const allowed = [...Object.keys(wanted), 'text']
  const tools = body.tools as { type: string }[]
  const input = body.input as Record<string, unknown>[]
  return [
    ...Object.keys(body).filter((key) => !allowed.includes(key)),
    ...fixed.filter((key) => JSON.stringify(body[key]) !== JSON.stringify(wanted[key])),
    ...tools.map(({ type }) => type).filter((type) => type !== 'function' && type !== 'custom'),
    ...input.filter(({ type, role }) => type === 'message' && role === 'system'),
    ...input.map(({ type }) => String(type)).filter((type) => !TYPES.includes(type)),
    ...addressesIn(input),
  ]
}

const TYPES = history.map(({ type }) => type)

function addressesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => {
    const isImageHere = key === 'image_url' && String(inner).startsWith('data:image/')
    const isAddress = /image_url|file_id|file_url|server_url|vector_store_ids/.test(key)
    return isAddress && !isImageHere ? [key] : addressesIn(inner)
  })
}
