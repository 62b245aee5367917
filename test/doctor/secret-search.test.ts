import { expect, test } from 'vitest'
import { searchSecrets } from '../../host/outer/doctor/attack/secret-search.ts'

const SECRET = 'Zm9vYmFyYmF6cXV4Y29ycmdlZ3JhdWx0Z2FycGx5'

test('a secret is found where it is, and its bytes are counted', () => {
  const found = searchSecrets([SECRET, 'another-secret-entirely'], {
    log: `it said ${SECRET} and went on`,
    events: 'nothing',
  })

  expect(found).toEqual({ bytes: SECRET.length, places: ['log'] })
})

test('half of a secret is found as well', () => {
  const found = searchSecrets([SECRET], { log: Buffer.from(`…${SECRET.slice(10, 30)}…`) })

  expect(found).toEqual({ bytes: 20, places: ['log'] })
})

test('where there is none, nothing is found', () => {
  expect(searchSecrets([SECRET], { log: [...SECRET].reverse().join('') })).toEqual({
    bytes: 0,
    places: [],
  })
})
