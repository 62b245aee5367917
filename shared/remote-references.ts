/**
 * Fields by which requests of this interface name what lies elsewhere. `url`, as it stands in what a
 * search has found, is no such field.
 */
const REMOTE_REFERENCE = /_ur[il]s?$|(^|_)files?(_|$)|^(server|connector|container|vector_store)_/i

/** Whether nothing in it names something that the service would fetch or use. */
export function hasNoRemoteReference(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true
  return Object.entries(value).every(([key, inner]) => {
    // An array is long, and its keys are numbers.
    return (Array.isArray(value) || !REMOTE_REFERENCE.test(key)) && hasNoRemoteReference(inner)
  })
}

/** The same without such fields. An annotation is nothing without them, and goes as a whole. */
export function withoutRemoteReferences<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(withoutRemoteReferences) as T
  const kept = Object.entries(value).filter(([key]) => !REMOTE_REFERENCE.test(key))
  return Object.fromEntries(
    kept.map(([key, inner]) => [
      key,
      key === 'annotations' && Array.isArray(inner)
        ? inner.filter(hasNoRemoteReference)
        : withoutRemoteReferences(inner),
    ]),
  ) as T
}
