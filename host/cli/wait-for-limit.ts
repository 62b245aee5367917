import { setTimeout as pause } from 'node:timers/promises'
import type { Screen } from './screen.ts'
import { abortOnSignals } from './stop-signals.ts'
import { localTime, span } from './when.ts'

/**
 * Waits until the limit is lifted at `resetsAt`, and says for how long. Resolves with the exit code
 * of the signal that ended the waiting, or undefined when it is over.
 */
export async function waitForLimit(
  resetsAt: number,
  { screen, session }: { screen: Screen | undefined; session: string },
  now: () => number = Date.now,
): Promise<number | undefined> {
  const until = Math.max(resetsAt, now()) + GRACE_MS
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
    screen?.note(`The session is kept; go on with it: codexbox run --continue --session ${session}`)
  }
  return exitCode
}

/** The clocks of two machines are never the same. */
const GRACE_MS = 1000
const TICK_MS = 1000
