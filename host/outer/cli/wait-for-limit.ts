import { setTimeout as pause } from 'node:timers/promises'
import { localTime, span } from '../../format-time.ts'
import { cliCommand } from '../../package-root.ts'
import type { Screen } from './screen.ts'
import { abortOnSignals } from './stop-signals.ts'

export interface Parked {
  /** When the limit is lifted, in epoch ms. */
  resetsAt: number
  session: string
  /** How often this run has been parked before. */
  before: number
  screen: Screen | undefined
}

/**
 * Waits until the limit is lifted, and says for how long. Resolves with the exit code of the signal
 * that ended the waiting, or undefined when it is over.
 */
export async function waitForLimit(
  { resetsAt, session, before, screen }: Parked,
  now: () => number = Date.now,
): Promise<number | undefined> {
  const until = endOfWait(resetsAt, before, now())
  // Listening before it is said that one may: whoever reads that may be quick.
  const signals = abortOnSignals()
  screen?.note(
    `The usage limit is lifted at ${localTime(resetsAt, now())}; waiting to go on then. Ctrl-C ends the waiting.`,
    'yellow',
  )
  try {
    // In small steps, for a laptop that sleeps in between: its timers sleep too.
    while (now() < until && !signals.signal.aborted) {
      screen?.waiting('waiting for the limit', `${span(until - now())} left`)
      await pause(Math.min(TICK_MS, until - now()), undefined, { signal: signals.signal }).catch(
        () => {}, // The signal, which is looked at above.
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
 * When to go on. A service that names a time and is not ready by then is asked less and less often.
 */
export function endOfWait(resetsAt: number, before: number, now: number): number {
  const leastMs = before === 0 ? 0 : Math.min(1000 * 2 ** before, MOST_PATIENCE_MS)
  return Math.max(resetsAt + GRACE_MS, now + leastMs)
}

const MOST_PATIENCE_MS = 10 * 60_000

/** The clocks of two machines are never the same. */
const GRACE_MS = 1000
const TICK_MS = 1000
