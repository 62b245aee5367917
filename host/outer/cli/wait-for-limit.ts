import { setTimeout as sleep } from 'node:timers/promises'
import { localTime, span } from '../../format-time.ts'
import { cliCommand } from '../../package-root.ts'
import type { Screen } from './screen.ts'
import { abortOnSignals } from './stop-signals.ts'

export interface Parked {
  /** When the limit is lifted, in epoch ms. */
  resetsAt: number
  session: string
  /** How many times this run has waited before. */
  before: number
  screen: Screen | undefined
}

/**
 * Waits until the limit is lifted, and shows the time left. Resolves with the exit code of the signal
 * that ended the wait, or undefined when the time has come.
 */
export async function waitForLimit(
  { resetsAt, session, before, screen }: Parked,
  now: () => number = Date.now,
): Promise<number | undefined> {
  const until = endOfWait(resetsAt, before, now())
  // Listen before the note invites Ctrl-C: the user may press it at once.
  const signals = abortOnSignals()
  screen?.note(
    `The usage limit is lifted at ${localTime(resetsAt, now())}; waiting to go on then. Ctrl-C ends the waiting.`,
    'yellow',
  )
  try {
    // In small steps: the timers of a suspended laptop are suspended as well.
    while (now() < until && !signals.signal.aborted) {
      screen?.waiting('waiting for the limit', `${span(until - now())} left`)
      await sleep(Math.min(TICK_MS, until - now()), undefined, { signal: signals.signal }).catch(
        () => {}, // Aborted: the loop's condition checks the signal.
      )
    }
  } finally {
    screen?.still()
    signals.release()
  }
  const exitCode = signals.exitCode()
  if (exitCode !== undefined) {
    screen?.note(`Go on later: ${cliCommand(`run --continue --session ${session}`)}`)
  }
  return exitCode
}

/**
 * When to try again. If the limit still holds at the time that the service named, the waits grow.
 */
export function endOfWait(resetsAt: number, before: number, now: number): number {
  const backoffMs = before === 0 ? 0 : Math.min(1000 * 2 ** before, MAX_BACKOFF_MS)
  return Math.max(resetsAt + GRACE_MS, now + backoffMs)
}

const MAX_BACKOFF_MS = 10 * 60_000

/** Allowance for clock skew. */
const GRACE_MS = 1000
const TICK_MS = 1000
