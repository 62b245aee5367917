/**
 * Names of request fields that refer to remote content. `url`, as in the results of a web search, is no
 * such field.
 */
const REMOTE_REFERENCE = /_ur[il]s?$|(^|_)files?(_|$)|^(server|connector|container|vector_store)_/i

/** Whether no field in `value` refers to content that the service would fetch or use. */
export function hasNoRemoteReference(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true
  return Object.entries(value).every(([key, inner]) => {
    // The keys of an array are numbers, and many.
    return (Array.isArray(value) || !REMOTE_REFERENCE.test(key)) && hasNoRemoteReference(inner)
  })
}

/** `value` without such fields. An annotation with such a field is dropped completely. */
export function withoutRemoteReferences<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(withoutRemoteReferences) as T
  const local = Object.entries(value).filter(([key]) => !REMOTE_REFERENCE.test(key))
  return Object.fromEntries(
    local.map(([key, inner]) => [
      key,
      key === 'annotations' && Array.isArray(inner)
        ? inner.filter(hasNoRemoteReference)
        : withoutRemoteReferences(inner),
    ]),
  ) as T
}
