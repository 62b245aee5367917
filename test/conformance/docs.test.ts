import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { packageRoot } from '../../host/package-root.ts'
import { type Case, ConformanceTable, casesInDocs } from './conformance-table.ts'

/** Collections of single looks; their rows have names of their own. */
const COLLECTIONS = ['matrix-errors', 'small-checks', 'background-requests']

test('every recording has its row in docs/conformance.md', () => {
  const files = readdirSync(join(packageRoot, 'test/fixtures/recordings'))
  const names = files.map((file) => file.replace(/\.json$/, ''))

  const rows = casesInDocs()
  const missing = names.filter((name) => !COLLECTIONS.includes(name) && !rows.includes(name))
  expect(missing).toEqual([])
})

test('all recordings are of the client that docs/conformance.md names', () => {
  const folder = join(packageRoot, 'test/fixtures/recordings')
  const clients = readdirSync(folder).map((file) => {
    const { client } = JSON.parse(readFileSync(join(folder, file), 'utf8'))
    return client.version ?? client
  })

  const [client, ...others] = new Set(clients)
  expect(others).toEqual([])
  expect(readFileSync(join(packageRoot, 'docs/conformance.md'), 'utf8')).toContain(client)
})

const same: Case = {
  name: 'a case',
  about: 'something',
  theirs: { requests: '1 request', end: 'done' },
  ours: { requests: '1 request', end: 'done' },
}

test.each<[string, Partial<Case>, passes: boolean]>([
  ['that is the same', {}, true],
  ['whose difference has no reason', { ours: { ...same.ours, end: 'failed' } }, false],
  ['with a reason for no difference', { why: { end: 'Because.' } }, false],
  ['with a fact that theirs does not have', { ours: { ...same.ours, waits: 'a day' } }, false],
  [
    'whose difference has a reason',
    { ours: { ...same.ours, end: 'failed' }, why: { end: 'Because.' } },
    true,
  ],
])('a case %s', (_title, about, passes) => {
  const add = () => new ConformanceTable('Runs').add({ ...same, ...about })

  if (passes) expect(add).not.toThrow()
  else expect(add).toThrow()
})

test('a table that is not the one in docs/conformance.md is stale', {
  skip: Boolean(process.env.UPDATE_DOCS),
}, () => {
  const table = new ConformanceTable('Runs')
  table.add(same)

  expect(() => table.expectInDocs()).toThrow(/stale/)
})
