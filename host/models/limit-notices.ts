import { z } from 'zod'
import type { Limit, Limits, LimitWindow } from '../../shared/limits.ts'
import { oneLine } from '../../shared/visible-text.ts'
import { localTime, span } from '../format-time.ts'

/** The last notice about one window of a limit, so that each is shown once. */
export const ToldWindow = z.object({
  /** The limit and its window. */
  key: z.string(),
  /** The highest of `MARKS` that was shown. */
  percent: z.number(),
  /** The end of the window, in epoch ms. */
  resetsAt: z.number().optional(),
})
export type ToldWindow = z.infer<typeof ToldWindow>

/** Percent of a window; each causes one notice per window. */
const MARKS = [95, 80]

/** The notices to show now, as complete sentences, and the updated record of notices. */
export function limitNotices(
  { limits }: Limits,
  told: readonly ToldWindow[],
  now: number,
): { messages: string[]; told: ToldWindow[] } {
  const messages: string[] = []
  const windows = limits.flatMap(windowsOf)
  const after = windows.flatMap(({ key, limit, window }) => {
    const { usedPercent, resetsAt } = window
    const mark = MARKS.find((percent) => usedPercent >= percent)
    const before = told.find((entry) => entry.key === key && isSameWindow(entry, window))
    // For a window without an end, only falling usage shows that a new one has begun.
    if (!mark) return before?.resetsAt !== undefined && resetsAt !== undefined ? [before] : []
    if (mark <= (before?.percent ?? 0)) return before ? [before] : []
    messages.push(messageOf(limit, window, now))
    return [{ key, percent: mark, ...(resetsAt === undefined ? {} : { resetsAt }) }]
  })
  // An answer may omit a limit; its record stays.
  const absent = told.filter(({ key }) => !windows.some((entry) => entry.key === key))
  return { messages, told: [...absent, ...after] }
}

/** Merges two records: within one window the higher mark, of two windows the later. */
export function mergeTold(here: readonly ToldWindow[], there: readonly ToldWindow[]): ToldWindow[] {
  const byKey = new Map<string, ToldWindow>()
  for (const told of [...here, ...there]) {
    const before = byKey.get(told.key)
    if (!before || isAhead(told, before)) byKey.set(told.key, told)
  }
  return [...byKey.values()]
}

function isAhead(told: ToldWindow, before: ToldWindow): boolean {
  if (!isSameWindow(before, told)) return true
  return isSameWindow(told, before) && told.percent > before.percent
}

function windowsOf(limit: Limit) {
  return (['primary', 'secondary'] as const).flatMap((which) => {
    const window = limit[which]
    return window ? [{ key: `${limit.id} ${which}`, limit, window }] : []
  })
}

/** The service sends the seconds to the end, so the computed time shifts a little. */
const SHIFT_MS = 5 * 60_000

function isSameWindow(told: ToldWindow, { resetsAt }: Pick<LimitWindow, 'resetsAt'>): boolean {
  if (told.resetsAt === undefined || resetsAt === undefined) return true
  return resetsAt <= told.resetsAt + SHIFT_MS
}

function messageOf({ id, name }: Limit, window: LimitWindow, now: number): string {
  const { usedPercent, windowMinutes, resetsAt } = window
  const whose = name ?? (id === 'codex' ? '' : id)
  const length = windowMinutes ? ` for ${span(windowMinutes * 60_000)}` : ''
  const reset =
    resetsAt && resetsAt > now
      ? `; it begins anew at ${localTime(resetsAt, now)}, in ${span(resetsAt - now)}`
      : ''
  return `${Math.floor(usedPercent)} % of the ${oneLine(`${oneLine(whose, 50)} limit`, 60)}${length} is used${reset}.`
}
