/** Longer than any wait that is meant; keeps a point in time within what a date can be. */
const MAX_MS = 100 * 365 * 86_400_000

/**
 * `Retry-After`: seconds or an HTTP date (RFC 9110, 10.2.3), in milliseconds from `now`. A date that
 * has passed, and zero, mean at once. Undefined when absent or neither of the two.
 */
export function retryAfterMs(
  value: string | string[] | undefined,
  now: number,
): number | undefined {
  const text = (Array.isArray(value) ? value[0] : value)?.trim() ?? ''
  if (/^\d+(\.\d+)?$/.test(text)) return Math.min(Math.ceil(Number(text) * 1000), MAX_MS)
  // Date.parse takes almost anything: "-1" would be a day in 2001.
  if (!/^(mon|tue|wed|thu|fri|sat|sun)[a-z]*,? /i.test(text)) return undefined
  // The oldest of the three forms names no zone; it is meant in GMT like the others.
  const date = Date.parse(/\b(gmt|utc)$/i.test(text) ? text : `${text} GMT`)
  return Number.isNaN(date) ? undefined : Math.min(Math.max(0, date - now), MAX_MS)
}

/** The hint in a sentence, in milliseconds: "Please try again in 1.5s", "1m2s", "2 hours". */
export function hintedWaitMs(text: string): number | undefined {
  const start = /\btry again in\s+/i.exec(text)
  if (!start) return undefined
  const part =
    /(\d{1,12}(?:\.\d{1,12})?)\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])(?:\s*,?\s*(?:and\s+)?(?=\d))?/iy
  part.lastIndex = start.index + start[0].length
  let sumMs: number | undefined
  for (let found = part.exec(text); found; found = part.exec(text)) {
    sumMs = (sumMs ?? 0) + Number(found[1]) * unitMs(found[2] ?? '')
  }
  return sumMs === undefined ? undefined : Math.min(Math.ceil(sumMs), MAX_MS)
}

function unitMs(unit: string): number {
  const name = unit.toLowerCase()
  if (name === 'ms' || name.startsWith('milli')) return 1
  return { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[name[0] ?? ''] ?? 0
}
