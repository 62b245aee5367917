import { expect, test } from 'vitest'
import { mendItem } from '../../container/agent/mend-item.ts'
import type { Item } from '../../shared/items.ts'

const none = new Set<string>()
const call: Item = {
  type: 'function_call',
  id: 'fc_1',
  call_id: 'call_1',
  name: 'bash',
  arguments: '{}',
}

test('an item as the service sends it is kept as it is', () => {
  const message = { type: 'message', id: 'msg_1', role: 'assistant', content: [], phase: 'x' }

  expect(mendItem(call, none)).toEqual({ item: call })
  expect(mendItem(message, none)).toEqual({ item: message })
})

test('an item without an id gets one with the prefix of its type', () => {
  const { id: _, ...nameless } = call

  expect(mendItem(nameless, none).item).toEqual({
    ...call,
    id: expect.stringMatching(/^fc_[0-9a-f-]{36}$/),
  })
  expect(mendItem({ type: 'reasoning' }, none).item?.id).toMatch(/^rs_/)
})

test('S6: a call gets an id of its own when it has none, or that of an earlier call', () => {
  const { call_id: _, ...unanswerable } = call

  for (const [item, taken] of [
    [unanswerable, none],
    [{ ...call, call_id: '' }, none],
    [{ ...call, call_id: 7 }, none],
    [call, new Set(['call_1'])],
  ] as const) {
    const { item: mended, repair } = mendItem(item, taken)
    expect(mended?.call_id).toMatch(/^call_[0-9a-f-]{36}$/)
    expect(repair).toContain('tool call')
  }
})

test('S6: an id that the service would refuse for its length becomes a shorter one, always the same', () => {
  const long = { ...call, call_id: 'x'.repeat(65) }

  const { item, repair } = mendItem(long, none)

  expect(String(item?.call_id).length).toBeLessThanOrEqual(64)
  expect(mendItem(long, none).item).toEqual(item)
  expect(repair).toContain('65 characters')
  expect(mendItem({ ...call, call_id: 'x'.repeat(64) }, none).repair).toBeUndefined()
})

test('what the service would not take back is left out', () => {
  const refusal = { type: 'message', id: 'msg_1', content: [{ type: 'refusal', refusal: 'No.' }] }

  expect(mendItem(refusal, none)).toEqual({})
  expect(mendItem({ type: 'mystery' }, none)).toEqual({
    repair: 'an item of a type nobody knows is left out: mystery',
  })
})
