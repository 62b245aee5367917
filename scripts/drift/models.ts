import { readFileSync } from 'node:fs'
import { builtInModels } from '../../host/models/built-in-models.ts'
import { readModels } from '../../host/models/model-entry.ts'
import { differences } from './differences.ts'

/**
 * Where the built-in list of models differs from the client's. The oldest client of each model is in
 * its program, but not in what it says.
 */
export function compareModels(bundled: unknown, program: string): string[] {
  const theirs = Object.fromEntries(
    readModels(bundled).map((model) => [
      model.slug,
      defined({ ...model, minimalClientVersion: undefined }),
    ]),
  )
  const ours = Object.fromEntries(
    builtInModels.map((model) => [
      model.slug,
      defined({ ...model, minimalClientVersion: undefined }),
    ]),
  )
  const versions = Object.fromEntries(
    builtInModels.map((one) => [one.slug, one.minimalClientVersion]),
  )
  const found = minimalVersionsIn(program, Object.keys(theirs))
  return [
    ...differences(ours, theirs, 'models'),
    ...(Object.keys(found).length > 0
      ? differences(versions, found, 'minimal_client_version')
      : []),
  ]
}

const defined = (model: object) =>
  Object.fromEntries(Object.entries(model).filter(([, value]) => value !== undefined))

function minimalVersionsIn(program: string, slugs: readonly string[]): Record<string, string> {
  const text = readFileSync(program, 'latin1')
  const found: Record<string, string> = {}
  for (const slug of slugs) {
    const at = text.indexOf(`"slug": "${slug}"`)
    const version = /"minimal_client_version": "([\d.]+)"/.exec(text.slice(at, at + 10_000))?.[1]
    if (at >= 0 && version) found[slug] = version
  }
  return found
}
