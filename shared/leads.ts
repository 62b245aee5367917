/**
 * Fields by which requests of this interface name what lies elsewhere. `url`, as it stands in what a
 * search has found, is no such field.
 */
const LEADS = /_ur[il]s?$|(^|_)files?(_|$)|^(server|connector|container|vector_store)_/i

/** Whether nothing in it names something that the service would fetch or use. */
export function leadsNowhere(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true
  return Object.entries(value).every(([key, inner]) => {
    // An array is long, and its keys are numbers.
    return (Array.isArray(value) || !LEADS.test(key)) && leadsNowhere(inner)
  })
}

/** The same without such fields. An annotation is nothing without them, and goes as a whole. */
export function withoutLeads<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(withoutLeads) as T
  const kept = Object.entries(value).filter(([key]) => !LEADS.test(key))
  return Object.fromEntries(
    kept.map(([key, inner]) => [
      key,
      key === 'annotations' && Array.isArray(inner)
        ? inner.filter(leadsNowhere)
        : withoutLeads(inner),
    ]),
  ) as T
}
