/** Longer than any real wait; keeps a point in time within the range of Date. */
export const MAX_WAIT_ASKED_MS = 100 * 365 * 86_400_000

/**
 * `Retry-After`: seconds or an HTTP date (RFC 9110, 10.2.3), in milliseconds from `now`. A date in the
 * past, and zero, mean at once. Undefined when absent or neither of the two.
 */
export function retryAfterMs(
  value: string | string[] | undefined,
  now: number,
): number | undefined {
  const text = (Array.isArray(value) ? value[0] : value)?.trim() ?? ''
  if (/^\d+(\.\d+)?$/.test(text)) return Math.min(Math.ceil(Number(text) * 1000), MAX_WAIT_ASKED_MS)
  // Date.parse accepts almost any text: "-1" would be a day in 2001.
  if (!/^(mon|tue|wed|thu|fri|sat|sun)[a-z]*,? /i.test(text)) return undefined
  // The oldest of the three formats has no zone; it is in GMT like the others.
  const date = Date.parse(/\b(gmt|utc)$/i.test(text) ? text : `${text} GMT`)
  return Number.isNaN(date) ? undefined : Math.min(Math.max(0, date - now), MAX_WAIT_ASKED_MS)
}
