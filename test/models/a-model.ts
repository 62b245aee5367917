import type { ModelEntry } from '../../host/models/model-entry.ts'

/** A model that can do nothing special; a test names only what it is about. */
export function aModel(slug: string, about: Partial<ModelEntry> = {}): ModelEntry {
  return {
    slug,
    name: slug,
    priority: 1,
    isListed: true,
    efforts: [],
    hasVerbosity: false,
    usablePercent: 95,
    lite: false,
    applyPatch: false,
    images: false,
    webSearch: false,
    ...about,
  }
}
