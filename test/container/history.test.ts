import { expect, test } from 'vitest'
import { History } from '../../container/agent/history.ts'
import type { Item } from '../../shared/items.ts'

const head: Item = { type: 'message', role: 'developer', content: 'Be brief.' }
const user = (text: string): Item => ({ type: 'message', role: 'user', content: text })
const call = (id: string): Item => ({ type: 'function_call', call_id: id, arguments: '{}' })
const output = (id: string): Item => ({ type: 'function_call_output', call_id: id, output: id })
const reasoning: Item = { type: 'reasoning', encrypted_content: 'sealed' }

const inputOf = (history: History, more: Item[] = []) =>
  JSON.parse(history.requestBody({ model: 'm' }, more))

test('a request holds the head, the items in order, and what is added for this one alone', () => {
  const history = new History([head], [user('a')])
  history.push(reasoning)

  const trigger = { type: 'compaction_trigger' }
  expect(inputOf(history, [trigger])).toEqual({
    model: 'm',
    input: [head, user('a'), reasoning, trigger],
  })
  expect(inputOf(history).input).toEqual([head, user('a'), reasoning])
})

test('the tokens are what the service counted, and an estimate of what came since', () => {
  const history = new History([head], [user('a')])
  const estimate = history.tokens
  expect(estimate).toBeGreaterThan(10)

  history.counted(5000)
  expect(history.tokens).toBe(5000)
  history.push(user('x'.repeat(4000)))
  expect(history.tokens).toBeGreaterThan(6000)
  expect(history.tokens).toBeLessThan(6100)

  // An answer without figures says nothing.
  history.counted(0)
  expect(history.tokens).toBeGreaterThan(6000)
})

test('dropping the reasoning leaves everything else', () => {
  const history = new History([head], [user('a'), reasoning, call('1'), output('1'), reasoning])

  expect(history.dropReasoning()).toBe(2)
  expect(history.items).toEqual([user('a'), call('1'), output('1')])
  expect(history.dropReasoning()).toBe(0)
})

test('of what the user said the newest is kept, whole messages only', () => {
  const said = ['first', 'second', 'third'].map((text) => user(text.repeat(40)))
  const history = new History([head], [...said, reasoning, call('1'), output('1')])

  expect(history.userMessages(1e6)).toEqual(said)
  expect(history.userMessages(160)).toEqual(said.slice(1))
  expect(history.userMessages(1)).toEqual([])
})

test('the older half goes without tearing a call from its output', () => {
  const items = [user('a'), call('1'), call('2'), output('1'), output('2'), call('3'), output('3')]
  const history = new History([head], items)

  history.dropOlderHalf()

  expect(history.items).toEqual([call('3'), output('3')])
  expect(inputOf(history).input[0]).toEqual(head)
})

test('an image counts as a few thousand tokens, whatever the size of its file', () => {
  const url = `data:image/png;base64,${'A'.repeat(4_000_000)}`
  const image = {
    type: 'message',
    role: 'user',
    content: [{ type: 'input_image', image_url: url }],
  }

  expect(new History([head], [image]).tokens).toBeLessThan(4000)
})

test('of many images the newest stay, a note stands where an older one was', () => {
  const url = (letter: string) => `data:image/png;base64,${letter.repeat(10_000_000)}`
  const image = (letter: string): Item => ({
    type: 'message',
    role: 'user',
    content: [{ type: 'input_image', image_url: url(letter) }],
  })
  const history = new History([head], [image('A'), image('B')])
  expect(history.items).toEqual([image('A'), image('B')])
  expect(history.takeDroppedImages()).toBe(0)

  history.push(image('C'))
  expect(history.takeDroppedImages()).toBe(1)

  expect(history.items.slice(1)).toEqual([image('B'), image('C')])
  expect(history.items[0]).toMatchObject({
    role: 'user',
    content: [{ type: 'input_text', text: expect.stringContaining('left out') }],
  })
})
