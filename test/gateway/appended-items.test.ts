import { expect, test } from 'vitest'
import { appendedItems } from '../../host/gateway/appended-items.ts'

const before = '{"a":[1],"input":[{"b":2}]}'
const added = (body: string) => appendedItems(Buffer.from(before), Buffer.from(body))

test.each([
  [before, []],
  ['{"a":[1],"input":[{"b":2},3]}', [3]],
  ['{"a":[1],"input":[{"b":2},{"c":[]},"]}"]}', [{ c: [] }, ']}']],
])('what is new in %s', (body, items) => {
  expect(added(body)).toEqual(items)
})

test.each([
  ['nothing', ''],
  ['another body of the same length', '{"a":[1],"input":[{"b":3}]}'],
  ['a shorter one', '{"a":[1],"input":[]}'],
  ['another beginning', '{"a":[2],"input":[{"b":2},3]}'],
  ['no comma', '{"a":[1],"input":[{"b":2}]3]}'],
  ['a comma too many', '{"a":[1],"input":[{"b":2},,3]}'],
  ['nothing after the comma', '{"a":[1],"input":[{"b":2},]}'],
  ['no end', '{"a":[1],"input":[{"b":2},3],'],
  ['another end', '{"a":[1],"input":[{"b":2},{}}}'],
  ['something after the end', '{"a":[1],"input":[{"b":2},3]}}'],
  ['another list', '{"a":[1],"input":[{"b":2},3],"c":[4]}'],
  ['a list of its own', '{"a":[1],"input":[{"b":2},3],[4]}'],
  ['white space', '{"a":[1],"input":[{"b":2}, 3]}'],
  ['a number in another form', '{"a":[1],"input":[{"b":2},3.0]}'],
  ['a key that stands there twice', '{"a":[1],"input":[{"b":2},{"c":1,"c":2}]}'],
])('%s is nothing that was added to what came before', (_, body) => {
  expect(added(body)).toBeUndefined()
})
