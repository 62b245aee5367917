import { expect, test } from 'vitest'
import { readOutputSchema } from '../../host/runs/output-schema.ts'

const schema = {
  type: 'object',
  properties: { answer: { type: 'number' } },
  required: ['answer'],
  additionalProperties: false,
}

test('an answer that follows the schema has nothing wrong', () => {
  expect(readOutputSchema(schema).wrong('{"answer": 42}')).toBeUndefined()
})

test.each([
  ['The answer is 42.', 'it is not JSON'],
  ['', 'it is not JSON'],
  ['{"answer": "42"}', 'answer: '],
  ['{}', 'answer: '],
  ['{"answer": 1, "more": 2}', 'more'],
  ['[]', 'the whole: '],
])('what is wrong with %j is said', (text, said) => {
  expect(readOutputSchema(schema).wrong(text)).toContain(said)
})

test.each([
  [{}],
  [{ type: 'string' }],
  [{ type: 'object', properties: { a: { type: 'nonsense' } } }],
])('what is no schema of an object is refused before anything is started: %j', (json) => {
  expect(() => readOutputSchema(json)).toThrow(expect.objectContaining({ code: 'wrong-use' }))
})
