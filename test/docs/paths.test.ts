import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { packageRoot } from '../../host/package-root.ts'

const documents = [
  'README.md',
  'CONTRIBUTING.md',
  'AGENTS.md',
  'test/README.md',
  ...readdirSync(join(packageRoot, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]

/** Such as are made by a run, and not part of a checkout. */
const MADE = /^(data|dist|workspace|node_modules)\//

test.each(documents)('%s names and links to files that there are', (document) => {
  const text = readFileSync(join(packageRoot, document), 'utf8')
  const linked = [...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map(([, path = '']) =>
    join(dirname(document), path),
  )
  // Those of the rooms, as they are written from the top.
  const named = [
    ...text.matchAll(/`((?:host|container|shared|setup|test|scripts|bench|docs)\/[\w./-]*)`/g),
  ].map(([, path = '']) => path)

  const missing = [...linked, ...named].filter(
    (path) => !MADE.test(path) && !existsSync(join(packageRoot, path)),
  )

  expect(missing).toEqual([])
})
