import { describe, expect, test } from 'vitest'
import { rowOf } from '../../container/agent/failure-row.ts'
import { failureTable } from '../../container/agent/failure-table.ts'
import { workTime } from '../work-time.ts'
import { examples, factsOf } from './failure-examples.ts'

const nameOfRow = (example: Parameters<typeof factsOf>[0]) => rowOf(factsOf(example)).name

test('each row has a name of its own, and examples', () => {
  const names = failureTable.map((row) => row.name)

  expect(new Set(names).size).toBe(names.length)
  expect(Object.keys(examples)).toEqual(names)
})

describe('a failure is the row it is an example of, hidden by none above it', () => {
  test.each(failureTable)('$name', ({ name, where }) => {
    for (const example of examples[name] ?? []) expect(nameOfRow(example), name).toBe(name)
    // Every place a row speaks for is shown.
    expect(new Set(examples[name]?.map((example) => factsOf(example).where))).toEqual(
      new Set(where),
    )
  })
})

test('whatever comes has a row', () => {
  for (const status of Array.from({ length: 1000 }, (_, status) => status)) {
    expect(rowOf(factsOf({ status }))).toBeDefined()
  }
  for (const odd of [undefined, null, 1, 'text', [], {}, { code: 1, message: {} }]) {
    expect(rowOf(factsOf({ failed: odd }))).toBeDefined()
    expect(rowOf(factsOf({ errorEvent: { error: odd, status: odd, headers: odd } }))).toBeDefined()
    expect(rowOf(factsOf({ connecting: odd }))).toBeDefined()
    expect(rowOf(factsOf({ reading: odd }))).toBeDefined()
  }
})

test.each([
  'The model is currently not available. Please try again.',
  'The model ended with an unknown error.',
  'You can retry your request. An error occurred while processing it.',
])('a failure that may pass is not blamed on the name of the model: %s', (message) => {
  expect(nameOfRow({ failed: { code: 'server_error', message } })).toBe('answer-failed')
})

test.each(['model ', "model '", 'cloudflare ', 'encrypted content ', 'unsupported ', '<title '])(
  'a body of nothing but "%s" is looked through in no time',
  (words) => {
    const body = words.repeat(64 * 1024)
    const worked = workTime()

    rowOf(factsOf({ status: 403, body }))
    rowOf(factsOf({ failed: { message: body } }))
    expect(worked()).toBeLessThan(1000)
  },
)

test('the sentences are short, and name no part that is not filled in', () => {
  const parts = ['status', 'said', 'ofPlan', 'limit', 'offer', 'until', 'model', 'otherModel']
  for (const { name, says, advice = '' } of failureTable) {
    const named = [...`${says} ${advice}`.matchAll(/\{(\w+)\}/g)].map((match) => match[1])

    expect(parts, name).toEqual(expect.arrayContaining(named))
    expect(`${says} ${advice}`.length, name).toBeLessThan(220)
    expect(advice, name).toMatch(/^$|\.$/)
  }
})
