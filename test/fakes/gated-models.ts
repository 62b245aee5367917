import type { JsonReply } from './json-service.ts'

/** An entry of the list of models, as the service writes it. */
export interface ListedModel {
  slug: string
  minimal_client_version?: unknown
}

/**
 * The service's answer to the question for its models: it takes `client_version` for a version of the
 * Codex CLI and leaves out the models that ask for a newer one; for `0.0.0` it leaves out none.
 */
export function gatedModels(
  models: readonly ListedModel[],
  headers: Record<string, string> = {},
): JsonReply {
  return (query) => {
    const version = query.get('client_version')
    if (version === null) {
      return { status: 400, json: { detail: 'client_version is required' } }
    }
    return { json: { models: models.filter((model) => isShownTo(version, model)) }, headers }
  }
}

/** Whether a client of this version may have the model. */
export function isShownTo(version: string, model: Omit<ListedModel, 'slug'>): boolean {
  if (version === '0.0.0') return true
  const [theirs, needed] = [version, `${model.minimal_client_version ?? '0.0.0'}`].map(numbers)
  for (const [index, least] of needed?.entries() ?? []) {
    const has = theirs?.[index] ?? 0
    if (has !== least) return has > least
  }
  return true
}

const numbers = (version: string) => version.split('-', 1)[0]?.split('.').map(Number) ?? []
