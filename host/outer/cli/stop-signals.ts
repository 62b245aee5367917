import type { Run } from '../../runs/run.ts'

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const
type Signal = keyof typeof EXIT_CODES

/** What "at once" means at the most. */
const AT_ONCE_MS = 1000

/**
 * Lets signals stop `run`: the first in good order, the second at once.
 */
export function stopOnSignals(run: Run, onFirst: () => void): SignalListening {
  let received: Signal | undefined
  return listen((signal) => {
    if (received) {
      run.kill()
      // A container that is only just being started cannot be killed yet; it leaves when we are gone.
      setTimeout(() => process.exit(EXIT_CODES[received ?? signal]), AT_ONCE_MS).unref()
      return
    }
    received = signal
    onFirst()
    run.interrupt()
  })
}

/** Lets signals end something that heeds an `AbortSignal`. */
export function abortOnSignals(): SignalListening & { signal: AbortSignal } {
  const controller = new AbortController()
  return { signal: controller.signal, ...listen(() => controller.abort()) }
}

interface SignalListening {
  /** Of the first signal that came, if one did. */
  exitCode(): number | undefined
  release(): void
}

function listen(onSignal: (signal: Signal) => void): SignalListening {
  let first: Signal | undefined
  const listeners = (Object.keys(EXIT_CODES) as Signal[]).map((signal) => {
    const listener = () => {
      first ??= signal
      onSignal(signal)
    }
    process.on(signal, listener)
    return () => process.off(signal, listener)
  })
  return {
    exitCode: () => first && EXIT_CODES[first],
    release: () => {
      for (const stop of listeners) stop()
    },
  }
}
