import type { ModelEntry } from './model-entry.ts'

/**
 * The last resort where the service's own list cannot be had: what was offered in November 2026. It
 * gets old; nothing is refused for not standing here.
 */
export const builtInModels: readonly ModelEntry[] = [
  model('gpt-6.1-sol', 1, 'low', 'ultra'),
  model('gpt-6-astra', 2, 'low', 'ultra'),
  model('gpt-6-sol', 3, 'medium', 'ultra'),
  model('gpt-6-luna', 4, 'medium', 'max'),
  model('gpt-5.6-sol', 5, 'low', 'ultra', { upgrade: 'gpt-6-sol' }),
  model('gpt-6.1-terra', 7, 'low', 'ultra', { contextWindow: 500_000 }),
  model('gpt-5.6-terra', 8, 'medium', 'ultra', { upgrade: 'gpt-6-sol' }),
  model('gpt-5.6-luna', 9, 'medium', 'max', { upgrade: 'gpt-6-luna' }),
  model('gpt-daybreak-blue-latest', 11, 'low', 'ultra', { isListed: false }),
  model('gpt-daybreak-red-latest', 12, 'medium', 'ultra', {
    isListed: false,
    contextWindow: 372_000,
    defaultVerbosity: 'high',
  }),
  model('gpt-5.5', 13, 'medium', 'xhigh', { lite: false, upgrade: 'gpt-6-sol' }),
  model('codex-auto-review', 43, 'medium', 'max', { isListed: false }),
]

function model(
  slug: string,
  priority: number,
  defaultEffort: string,
  highestEffort: string,
  about: Partial<ModelEntry> = {},
): ModelEntry {
  const efforts = ['low', 'medium', 'high', 'xhigh', 'max', 'ultra']
  return {
    slug,
    name: slug,
    priority,
    isListed: true,
    efforts: efforts.slice(0, efforts.indexOf(highestEffort) + 1),
    defaultEffort,
    hasVerbosity: true,
    defaultVerbosity: 'low',
    contextWindow: 272_000,
    usablePercent: 95,
    lite: true,
    applyPatch: true,
    images: true,
    webSearch: true,
    ...about,
  }
}
