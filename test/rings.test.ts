import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'
import { packageRoot } from '../host/package-root.ts'

/** The rings from the inside out: a file imports from its own ring and from those before it. */
const RINGS = ['shared', 'core', 'outer', 'composition', 'setup'] as const
type Ring = (typeof RINGS)[number] | 'container'

/** Files that put the core and the outer ring together. */
const COMPOSITION = [
  'host/index.ts',
  'host/cli.ts',
  'host/open-conversation.ts',
  'host/choose-provider.ts',
]

function ringOf(file: string): Ring {
  if (COMPOSITION.includes(file)) return 'composition'
  if (file.startsWith('host/outer/')) return 'outer'
  if (file.startsWith('host/')) return 'core'
  return file.split('/')[0] as Ring
}

/** The command line is in the outer ring, and begins what the composition has put together. */
const mayImport = (from: Ring, to: Ring) => {
  if (from === 'container' || to === 'container') {
    return from === 'container' && (to === 'container' || to === 'shared')
  }
  if (from === 'outer' && to === 'composition') return true
  return RINGS.indexOf(to) <= RINGS.indexOf(from)
}

const files = ['shared', 'container', 'host', 'setup'].flatMap((folder) =>
  readdirSync(join(packageRoot, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name.replaceAll('\\', '/')}`),
)

const imports = files.flatMap((from) => {
  const text = readFileSync(join(packageRoot, from), 'utf8')
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map(([, path = '']) => ({
    from,
    to: normalize(join(dirname(from), path)).replaceAll('\\', '/'),
  }))
})

test('each file imports from its own ring and from those inside it', () => {
  const wrong = imports.filter(({ from, to }) => !mayImport(ringOf(from), ringOf(to)))

  expect(wrong).toEqual([])
  // The imports were found, in each ring.
  for (const ring of [...RINGS, 'container']) {
    expect(imports.some(({ from }) => ringOf(from) === ring)).toBe(true)
  }
  for (const file of COMPOSITION) expect(files).toContain(file)
})
