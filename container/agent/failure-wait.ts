import { MAX_WAIT_ASKED_MS } from '../../shared/retry-after.ts'

/** The hint in a sentence, in milliseconds: "Please try again in 1.5s", "1m2s", "2 hours". */
export function hintedWaitMs(text: string): number | undefined {
  const start = /\btry again in\s+/i.exec(text)
  if (!start) return undefined
  const part =
    /(\d{1,12}(?:\.\d{1,12})?)\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])(?:\s*,?\s*(?:and\s+)?(?=\d))?/iy
  part.lastIndex = start.index + start[0].length
  let sumMs: number | undefined
  for (let match = part.exec(text); match; match = part.exec(text)) {
    sumMs = (sumMs ?? 0) + Number(match[1]) * unitMs(match[2] ?? '')
  }
  return sumMs === undefined ? undefined : Math.min(Math.ceil(sumMs), MAX_WAIT_ASKED_MS)
}

function unitMs(unit: string): number {
  const name = unit.toLowerCase()
  if (name === 'ms' || name.startsWith('milli')) return 1
  return { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[name[0] ?? ''] ?? 0
}
