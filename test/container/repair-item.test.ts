import { expect, test } from 'vitest'
import { ItemRepairer } from '../../container/agent/repair-item.ts'
import type { Item } from '../../shared/items.ts'

const mender = (ids: string[] = [], callIds: string[] = []) => new ItemRepairer({ ids, callIds })
const call: Item = {
  type: 'function_call',
  id: 'fc_1',
  call_id: 'call_1',
  name: 'bash',
  arguments: '{}',
}
const text = { type: 'output_text', text: 'Hello.', annotations: [] }
const message: Item = { type: 'message', id: 'msg_1', role: 'assistant', content: [text] }
const reasoning: Item = { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'x' }

test.each([
  call,
  { ...message, phase: 'commentary', status: 'completed' },
  { ...reasoning, content: null },
  { ...reasoning, content: [{ type: 'reasoning_text', text: 'Hm.' }], encrypted_content: null },
  { type: 'custom_tool_call', id: 'ctc_1', call_id: 'c', name: 'apply_patch', input: '' },
  { type: 'web_search_call', id: 'ws_1', status: 'completed', action: { type: 'search' } },
  { type: 'compaction', id: 'cmp_1', encrypted_content: 'x' },
])('an item as the service sends it is kept as it is: $type', (item) => {
  expect(mender().repair(item)).toEqual({ item })
})

test('an item without an id gets one with the prefix of its type', () => {
  const { id: _, ...nameless } = call

  expect(mender().repair(nameless)).toEqual({
    item: { ...call, id: expect.stringMatching(/^fc_[0-9a-f-]{36}$/) },
  })
})

test.each(['msg_1', 'fc_1 x', `fc_${'x'.repeat(62)}`, 'fc_taken', 7])(
  'an id that the service would refuse becomes another one: %s',
  (id) => {
    const { item, repair } = mender(['fc_taken']).repair({ ...call, id })

    expect(item?.id).toMatch(/^fc_[0-9a-f-]{36}$/)
    expect(repair).toContain('id of its own')
  },
)

test('an item that comes twice in an answer, or again after it broke off, is taken once', () => {
  const once = mender()
  for (const item of [call, message, reasoning]) {
    expect(once.repair(item)).toEqual({ item })
    expect(once.repair(item)).toEqual({ repair: expect.stringContaining('twice') })
  }

  // In the next answer it is another one, with an id that only looks the same.
  once.answered()
  expect(once.repair(message).item?.id).not.toBe('msg_1')
})

test('a call gets an id of its own when it has none, or that of an earlier call', () => {
  const { call_id: _, ...unanswerable } = call

  for (const item of [unanswerable, { ...call, call_id: '' }, { ...call, call_id: 7 }, call]) {
    const { item: mended, repair } = mender([], ['call_1']).repair(item)
    expect(mended?.call_id).toMatch(/^call_[0-9a-f-]{36}$/)
    expect(repair).toContain('tool call')
  }
})

test('an id that the service would refuse for its length becomes a shorter one, always the same', () => {
  const long = { ...call, call_id: 'x'.repeat(65) }

  const { item, repair } = mender().repair(long)

  expect(String(item?.call_id).length).toBeLessThanOrEqual(64)
  expect(mender().repair(long).item).toEqual(item)
  expect(repair).toContain('65 characters')
  expect(mender().repair({ ...call, call_id: 'x'.repeat(64) }).repair).toBeUndefined()
})

test('a call whose name or arguments the service would not take back is put right', () => {
  const { arguments: _, ...silent } = call

  expect(mender().repair({ ...call, name: 'functions.bash' }).item?.name).toBe('functions_bash')
  expect(mender().repair(silent).item?.arguments).toBe('')
  expect(mender().repair({ ...call, arguments: { a: 1 } }).item?.arguments).toBe('')
})

test.each([
  { ...call, name: undefined },
  { ...message, role: 'user' },
  { ...message, content: undefined },
  { ...message, content: [{ type: 'hologram' }] },
  { ...reasoning, encrypted_content: null },
  { ...reasoning, summary: undefined },
  { type: 'compaction', id: 'cmp_1' },
  { type: 'mystery' },
])('what the service would not take back is left out, and that is said: %j', (item) => {
  expect(mender().repair(item as Item)).toEqual({ repair: expect.stringContaining('left out') })
})

test('of a message the parts that are known are kept', () => {
  const { item } = mender().repair({ ...message, content: [{ type: 'hologram' }, text] })

  expect(item?.content).toEqual([text])
})

test('a message that is a refusal alone has been shown, and is not sent back', () => {
  const content = [{ type: 'refusal', refusal: 'No.' }]

  const repair = expect.stringContaining('refusal')
  expect(mender().repair({ ...message, content })).toEqual({ repair })
})
