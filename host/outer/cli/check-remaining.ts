import { CodexboxError, messageOf } from '../../../shared/errors.ts'
import type { Limits } from '../../../shared/limits.ts'
import { localTime, span } from '../../format-time.ts'
import type { ProviderPlugin } from '../../providers/provider.ts'

/** The plan has less left than `--min-remaining` asks for. */
export class TooLittleLeftError extends CodexboxError {
  /** Epoch ms; undefined when the service did not say. */
  readonly resetsAt: number | undefined

  constructor(message: string, resetsAt: number | undefined) {
    super('usage-limit', message)
    this.resetsAt = resetsAt
  }
}

/** The percent in "10%" or "10". @throws CodexboxError `wrong-use` */
export function readPercent(text: string): number {
  const percent = Number(/^(\d{1,3}(?:\.\d+)?)\s*%?$/.exec(text.trim())?.[1])
  if (percent >= 0 && percent <= 100) return percent
  throw new CodexboxError('wrong-use', `--min-remaining wants a percentage; it was "${text}".`)
}

/**
 * Refuses the run when a window of the general limit has less than `percent` left. Unknown limits
 * are reported to `note`, and the run may start.
 * @throws TooLittleLeftError; CodexboxError `not-signed-in`
 */
export async function refuseBelow(
  percent: number,
  provider: ProviderPlugin,
  note: (text: string) => void,
  now: () => number = Date.now,
): Promise<void> {
  const unknown = (why: string) => note(`How much of the plan is left is unknown: ${why}`)
  if (!provider.limits) return unknown(`${provider.name} has no plan.`)
  try {
    const { limits, problem } = await provider.limits()
    const scarce = scarcestWindow(limits, now())
    if (!scarce) return unknown(problem ?? 'the service does not say.')
    if (scarce.remaining < percent) throw tooLittle(percent, scarce, now())
  } catch (error) {
    // An unreachable service does not prove a low limit; a missing sign-in prevents any run.
    if (!(error instanceof CodexboxError) || !UNANSWERED.has(error.code)) throw error
    unknown(messageOf(error))
  }
}

const UNANSWERED = new Set<string>(['model-unreachable', 'model-refused'])

interface Window {
  /** Percent. */
  remaining: number
  windowMinutes?: number | undefined
  resetsAt?: number | undefined
}

/** Of the general limit only: the others belong to models that the run may never ask. */
function scarcestWindow({ limits }: Limits, now: number): Window | undefined {
  const general = limits.find(({ id }) => id === 'codex')
  return [general?.primary, general?.secondary]
    .filter((window) => window !== undefined)
    .map(({ usedPercent, windowMinutes, resetsAt }) => {
      // The cached figures may be of a window that has been reset since.
      const isOver = resetsAt !== undefined && resetsAt <= now
      return { remaining: isOver ? 100 : Math.max(0, 100 - usedPercent), windowMinutes, resetsAt }
    })
    .toSorted((a, b) => a.remaining - b.remaining)[0]
}

function tooLittle(percent: number, window: Window, now: number): TooLittleLeftError {
  const { remaining, windowMinutes, resetsAt } = window
  const which = windowMinutes ? ` of the limit for ${span(windowMinutes * 60_000)}` : ''
  const until = resetsAt
    ? ` It begins anew at ${localTime(resetsAt, now)}, in ${span(resetsAt - now)}.`
    : ''
  return new TooLittleLeftError(
    `Not started: ${Math.floor(remaining)} %${which} are left, and --min-remaining asks for ${percent} %.${until}`,
    resetsAt,
  )
}
