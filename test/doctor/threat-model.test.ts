import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { attackCases } from '../../host/outer/doctor/attack/attack-cases.ts'
import { packageRoot } from '../../host/package-root.ts'

describe('docs/threat-model.md', () => {
  const text = readFileSync(join(packageRoot, 'docs', 'threat-model.md'), 'utf8')
  const promises = text
    .split('\n')
    .slice(text.split('\n').indexOf('## Promises'), text.split('\n').indexOf('## Not promised'))
    .filter((line) => line.startsWith('| **'))

  test('names only files that are there', () => {
    const named = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, path]) => path ?? '')

    expect(named.length).toBeGreaterThan(20)
    expect(named.filter((path) => !existsSync(join(packageRoot, 'docs', path)))).toEqual([])
  })

  test('says of every promise which test holds it', () => {
    expect(promises.length).toBeGreaterThan(10)
    for (const promise of promises) expect(promise).toMatch(/\]\(\.\.\/test\/[^)]+\.test\.ts\)/)
  })

  test('speaks of attempts that are made, and of as many', () => {
    const ids = attackCases.map(({ id }) => id)
    const spoken = [...text.matchAll(/\b(?:A|X|N|J|F)\d+[a-z]?\b/g)].map(([id]) => id)

    for (const id of spoken)
      expect(
        ids.some((known) => known.startsWith(id)),
        id,
      ).toBe(true)
    expect(text).toContain(`0 of ${ids.length} |`)
    expect(text).toContain(`0 of ${attackCases.filter(({ area }) => area === 'theft').length} |`)
  })
})
