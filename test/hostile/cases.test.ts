import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { packageRoot } from '../../host/package-root.ts'

/** The hostile cases, by what is hostile, and how many there are of each. */
const CASES = {
  C: ['the callback of a sign-in', 18],
  T: ['the file of the tokens', 15],
  S: ['the stream of the model', 12],
  J: ['lines on stdin and stdout', 7],
  E: ['settings', 5],
  F: ['containers, files, tools and the gateway', 14],
} as const

const folder = join(packageRoot, 'test')

/** Which files have a test that is named by a case, as in 'F7: …' or 'F1, F3: …'. */
const named = new Map<string, Set<string>>()
for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
  // This one speaks of all of them.
  if (!file.endsWith('.ts') || file.endsWith('cases.test.ts')) continue
  const text = readFileSync(join(folder, file), 'utf8')
  for (const [, ids = ''] of text.matchAll(/['"`]((?:[A-Z]\d+, )*[A-Z]\d+): /g)) {
    for (const id of ids.split(', ')) named.set(id, (named.get(id) ?? new Set()).add(file))
  }
}

test.each(
  Object.entries(CASES).flatMap(([letter, [what, count]]) =>
    Array.from({ length: count }, (_, index) => [`${letter}${index + 1}`, what] as const),
  ),
)('there is a test named by the case %s, of %s', (id) => {
  expect([...(named.get(id) ?? [])]).not.toEqual([])
})

test('no test is named by a case that there is not', () => {
  const known = ([id]: [string, unknown]) => {
    const [, count] = CASES[id[0] as keyof typeof CASES] ?? ['', 0]
    return Number(id.slice(1)) <= count
  }

  expect([...named].filter((entry) => !known(entry))).toEqual([])
})
