import type { Run } from '../runs/run.ts'

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const
type Signal = keyof typeof EXIT_CODES

/** What "at once" means at the most. */
const AT_ONCE_MS = 1000

/**
 * Lets signals stop `run`: the first in good order, the second at once. Returns how to stop listening
 * and the exit code of the signal that came, if one did.
 */
export function stopOnSignals(run: Run, onFirst: () => void) {
  let received: Signal | undefined
  const listeners = (Object.keys(EXIT_CODES) as Signal[]).map((signal) => {
    const listener = () => {
      if (received) {
        run.kill()
        // A container that is only just being started cannot be killed yet; it leaves when we are gone.
        setTimeout(() => process.exit(EXIT_CODES[received ?? signal]), AT_ONCE_MS).unref()
        return
      }
      received = signal
      onFirst()
      run.interrupt()
    }
    process.on(signal, listener)
    return () => process.off(signal, listener)
  })
  return {
    exitCode: () => received && EXIT_CODES[received],
    release: () => {
      for (const stop of listeners) stop()
    },
  }
}
