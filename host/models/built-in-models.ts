import type { ModelEntry } from './model-entry.ts'

/** The source and date of the list below. */
export const BUILT_IN_FROM = {
  client: 'Codex CLI 0.171.0',
  /** Epoch ms. */
  at: Date.UTC(2026, 10, 30),
}

/**
 * The fallback when the service's own list is not available: the list built into the official client.
 * It ages, so a model that is missing here is not refused. `scripts/drift.ts` compares it with the newest.
 */
export const builtInModels: readonly ModelEntry[] = [
  model('gpt-6.2-sol', 'GPT-6.2-Sol', 1, 'low ultra', '0.166.0', { contextWindow: 500_000 }),
  model('gpt-6.2-astra', 'GPT-6.2-Astra', 2, 'low ultra', '0.166.0'),
  model('gpt-6.1-terra', 'GPT-6.1 Terra', 3, 'low ultra', '0.153.0', { contextWindow: 500_000 }),
  model('gpt-6.1-sol', 'GPT-6.1-Sol', 4, 'low ultra', '0.153.0', { contextWindow: 500_000 }),
  model('gpt-6-astra', 'GPT-6-Astra', 5, 'low ultra', '0.153.0'),
  model('gpt-6-sol', 'GPT-6-Sol', 6, 'medium ultra', '0.155.0'),
  model('gpt-6-luna', 'GPT-6-Luna', 7, 'medium max', '0.155.0'),
  model('gpt-5.6-sol', 'GPT-5.6-Sol', 8, 'low ultra', '0.144.0', { upgrade: 'gpt-6-sol' }),
  model('gpt-5.6-terra', 'GPT-5.6-Terra', 9, 'medium ultra', '0.144.0', { upgrade: 'gpt-6-sol' }),
  model('gpt-5.6-luna', 'GPT-5.6-Luna', 10, 'medium max', '0.144.0', { upgrade: 'gpt-6-luna' }),
  model('gpt-daybreak-blue-latest', 'Daybreak Blue', 11, 'low ultra', '0.144.0', {
    isListed: false,
  }),
  model('gpt-daybreak-red-latest', 'Daybreak Red', 12, 'medium ultra', '0.142.2', {
    isListed: false,
    contextWindow: 372_000,
    defaultVerbosity: 'high',
  }),
  model('gpt-5.5', 'GPT-5.5', 13, 'medium xhigh', '0.124.0', { lite: false, upgrade: 'gpt-6-sol' }),
  model('codex-auto-review', 'Codex Auto Review', 43, 'medium max', '0.98.0', { isListed: false }),
]

/** `efforts`: the default and the highest. */
function model(
  slug: string,
  name: string,
  priority: number,
  efforts: string,
  minimalClientVersion: string,
  about: Partial<ModelEntry> = {},
): ModelEntry {
  const all = ['low', 'medium', 'high', 'xhigh', 'max', 'ultra']
  const [defaultEffort = '', highest = ''] = efforts.split(' ')
  return {
    slug,
    name,
    priority,
    isListed: true,
    efforts: all.slice(0, all.indexOf(highest) + 1),
    defaultEffort,
    hasVerbosity: true,
    defaultVerbosity: 'low',
    contextWindow: 272_000,
    usablePercent: 95,
    lite: true,
    applyPatch: true,
    images: true,
    webSearch: true,
    minimalClientVersion,
    ...about,
  }
}
