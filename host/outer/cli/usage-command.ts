import { CodexboxError } from '../../../shared/errors.ts'
import type { Limit, Limits, LimitWindow } from '../../../shared/limits.ts'
import { oneLine } from '../../../shared/visible-text.ts'
import { chooseProvider } from '../../choose-provider.ts'
import { type Config, readConfig } from '../../config.ts'
import { localTime, span } from '../../format-time.ts'
import { codexProvider } from '../../providers/codex.ts'
import type { ProviderPlugin } from '../../providers/provider.ts'
import { print, printJson } from './print.ts'
import { Screen } from './screen.ts'

/** Prints the plan's limits and their use. */
export async function usageCommand(options: { json?: boolean }): Promise<void> {
  const provider = providerWithPlan(readConfig())
  if (!provider.limits) {
    throw new CodexboxError(
      'wrong-use',
      `AGENT_PROVIDER=${provider.name} has no plan with limits; only codex has.`,
    )
  }
  const report = await provider.limits()
  if (options.json) {
    printJson(report)
    return
  }
  const now = Date.now()
  print(describe(report.limits, now))
  if (report.problem) {
    const age = span(now - report.at)
    new Screen().note(`These are the figures of ${age} ago. ${report.problem}`, 'yellow')
  }
}

/** Without a sign-in the error should say so, and not that the demo has no plan. */
function providerWithPlan(config: Config): ProviderPlugin {
  if (config.provider !== undefined) return chooseProvider(config).provider
  const codex = codexProvider({ config })
  const reason = codex.whyNotAuthenticated()
  if (reason) throw reason
  return codex
}

function describe(limits: Limits, now: number): string {
  const { plan, reached } = limits
  const windows = limits.limits.flatMap(windowsOf)
  const width = Math.max(...['credits', ...windows.map(nameOf)].map(({ length }) => length)) + 1
  const lines = [`${'plan'.padEnd(width)} ${oneLine(plan ?? 'unknown', 60)}`]
  for (const limit of limits.limits) lines.push(...describeLimit(limit, reached, width, now))
  if (limits.limits.length === 0) lines.push('The service named no limit.')
  const credits = creditsOf(limits)
  if (credits) lines.push(`${'credits'.padEnd(width)} ${oneLine(credits, 60)}`)
  return lines.join('\n')
}

function describeLimit(
  limit: Limit,
  reached: string | undefined,
  width: number,
  now: number,
): string[] {
  const { id, name } = limit
  const title = name ?? (id === 'codex' ? undefined : id)
  const stopped = id === reached ? ' · reached' : ''
  return [
    ...(title || stopped ? [`${oneLine(title ?? 'general limit', 60)}${stopped}`] : []),
    ...windowsOf(limit).map((window) => row(window, width, now)),
  ]
}

const windowsOf = ({ primary, secondary }: Limit) =>
  [primary, secondary].filter((window) => window !== undefined)

const nameOf = ({ windowMinutes }: LimitWindow) =>
  windowMinutes ? span(windowMinutes * 60_000) : 'limit'

function row(window: LimitWindow, width: number, now: number): string {
  const { usedPercent, resetsAt } = window
  // Rounded down, as in the notice of a run: a limit that can still be used must not read 100 %.
  const used = `${Math.floor(usedPercent)} % used`
  return `${nameOf(window).padEnd(width)} ${bar(usedPercent)} ${used.padStart(10)}${reset(resetsAt, now)}`
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

function creditsOf({ credits }: Limits): string | undefined {
  if (!credits) return undefined
  const { unlimited, hasCredits, balance } = credits
  return unlimited ? 'unlimited' : (balance ?? (hasCredits ? 'some' : 'none'))
}
