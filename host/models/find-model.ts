import type { ModelEntry } from './model-entry.ts'

/**
 * The entry for a model name from the user: the longest slug that is its prefix, so that dated or
 * otherwise longer names match too. One leading namespace (`openai/…`) is ignored.
 */
export function findModel(models: readonly ModelEntry[], named: string): ModelEntry | undefined {
  const bare = /^[^/]+\/([^/]+)$/.exec(named)?.[1]
  return longestPrefix(models, named) ?? (bare ? longestPrefix(models, bare) : undefined)
}

/** The first listed model; the first of all if none is listed. */
export function defaultModel(models: readonly ModelEntry[]): ModelEntry | undefined {
  const byPriority = models.toSorted((a, b) => a.priority - b.priority)
  return byPriority.find(({ isListed }) => isListed) ?? byPriority[0]
}

function longestPrefix(models: readonly ModelEntry[], name: string): ModelEntry | undefined {
  return models
    .filter(({ slug }) => name.startsWith(slug))
    .toSorted((a, b) => b.slug.length - a.slug.length)[0]
}
