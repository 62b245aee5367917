import { CodexboxError } from '../../shared/errors.ts'
import type { Limit, Limits, LimitWindow } from '../../shared/limits.ts'
import { oneLine } from '../../shared/visible-text.ts'
import { type Config, readConfig } from '../config.ts'
import { localTime, span } from '../format-time.ts'
import { chooseProvider } from '../providers/choose-provider.ts'
import { codexProvider } from '../providers/codex.ts'
import type { ProviderPlugin } from '../providers/provider.ts'
import { print, printJson } from './print.ts'
import { Screen } from './screen.ts'

/** Prints what is left of the plan. */
export async function usageCommand(options: { json?: boolean }): Promise<void> {
  const provider = providerWithPlan(readConfig())
  if (!provider.limits) {
    throw new CodexboxError(
      'wrong-use',
      `AGENT_PROVIDER=${provider.name} has no plan with limits; only codex has.`,
    )
  }
  const seen = await provider.limits()
  if (options.json) {
    printJson(seen)
    return
  }
  const now = Date.now()
  print(describe(seen.limits, now))
  if (seen.problem) {
    const age = span(now - seen.at)
    new Screen().note(`This was said ${age} ago: now ${seen.problem}`, 'yellow')
  }
}

/** Who is not signed in should hear that here, and not that the demo has no plan. */
function providerWithPlan(config: Config): ProviderPlugin {
  if (config.provider !== undefined) return chooseProvider(config).provider
  const codex = codexProvider({ config })
  const reason = codex.whyNotAuthenticated()
  if (reason) throw reason
  return codex
}

function describe(limits: Limits, now: number): string {
  const { plan, reached } = limits
  const lines = [`plan     ${oneLine(plan ?? 'unknown', 60)}`]
  for (const limit of limits.limits) lines.push(...describeLimit(limit, reached, now))
  if (limits.limits.length === 0) lines.push('The service named no limit.')
  lines.push(...describeCredits(limits.credits))
  return lines.join('\n')
}

function describeLimit(limit: Limit, reached: string | undefined, now: number): string[] {
  const { id, name, primary, secondary } = limit
  const title = name ?? (id === 'codex' ? undefined : id)
  const stopped = id === reached ? ' · reached' : ''
  return [
    ...(title || stopped ? [`${oneLine(title ?? 'general limit', 60)}${stopped}`] : []),
    ...[primary, secondary]
      .filter((window) => window !== undefined)
      .map((window) => row(window, now)),
  ]
}

function row(window: LimitWindow, now: number): string {
  const { usedPercent, windowMinutes, resetsAt } = window
  const length = windowMinutes ? span(windowMinutes * 60_000) : 'limit'
  const used = `${Math.round(usedPercent)} % used`
  return `${length.padEnd(8)} ${bar(usedPercent)} ${used.padStart(10)}${reset(resetsAt, now)}`
}

function reset(at: number | undefined, now: number): string {
  if (at === undefined) return ''
  if (at <= now) return '  begun anew since'
  return `  resets ${localTime(at, now)}, in ${span(at - now)}`
}

const BAR_WIDTH = 20

function bar(percent: number): string {
  const full = Math.min(BAR_WIDTH, Math.round((percent / 100) * BAR_WIDTH))
  return `${'█'.repeat(full)}${'░'.repeat(BAR_WIDTH - full)}`
}

function describeCredits(credits: Limits['credits']): string[] {
  if (!credits) return []
  const { unlimited, hasCredits, balance } = credits
  const amount = unlimited ? 'unlimited' : (balance ?? (hasCredits ? 'some' : 'none'))
  return [`credits  ${oneLine(amount, 60)}`]
}
