import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { packageRoot } from '../../host/package-root.ts'
import { casesInDocs } from './conformance-table.ts'

/** Collections of single looks; their rows have names of their own. */
const COLLECTIONS = ['matrix-errors', 'small-checks', 'background-requests']

test('every recording has its row in docs/conformance.md', () => {
  const files = readdirSync(join(packageRoot, 'test/fixtures/recordings'))
  const names = files.map((file) => file.replace(/\.json$/, ''))

  const rows = casesInDocs()
  const missing = names.filter((name) => !COLLECTIONS.includes(name) && !rows.includes(name))
  expect(missing).toEqual([])
})
