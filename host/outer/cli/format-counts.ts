import type { FinishedEvent, Usage } from '../../../shared/protocol.ts'

export function seconds(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`
  if (ms < 60_000) return `${Math.round(ms / 1000)} s`
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`
}

/** 1234 as "1.2k". */
export function short(count: number): string {
  return count < 1000 ? String(count) : `${(count / 1000).toFixed(count < 10_000 ? 1 : 0)}k`
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

export function tokens({ inputTokens, cachedInputTokens, outputTokens }: Usage): string {
  return `${short(inputTokens)} tokens in (${short(cachedInputTokens)} cached), ${short(outputTokens)} out`
}

/** The line at the end of a run. */
export function totals(event: FinishedEvent): string {
  const { status, turns, toolCalls, usage, durationMs } = event
  const counts = `${plural(turns, 'turn')} · ${plural(toolCalls, 'tool call')}`
  return `${status} · ${counts} · ${tokens(usage)} · ${seconds(durationMs)}`
}
