import type { ModelEntry } from './model-entry.ts'

/**
 * The entry for a model as a person names it: the longest slug it begins with, so that a dated or
 * otherwise longer name is known too. One namespace in front (`openai/…`) is looked past.
 */
export function findModel(models: readonly ModelEntry[], named: string): ModelEntry | undefined {
  const bare = /^[^/]+\/([^/]+)$/.exec(named)?.[1]
  return longestPrefix(models, named) ?? (bare ? longestPrefix(models, bare) : undefined)
}

/** The first of the models that are shown to people; of all, if none is. */
export function defaultModel(models: readonly ModelEntry[]): ModelEntry | undefined {
  const byPriority = models.toSorted((one, other) => one.priority - other.priority)
  return byPriority.find(({ isListed }) => isListed) ?? byPriority[0]
}

function longestPrefix(models: readonly ModelEntry[], name: string): ModelEntry | undefined {
  return models
    .filter(({ slug }) => name.startsWith(slug))
    .toSorted((one, other) => other.slug.length - one.slug.length)[0]
}
