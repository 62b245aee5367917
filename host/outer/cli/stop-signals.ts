import type { Run } from '../../runs/run.ts'

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const
type Signal = keyof typeof EXIT_CODES

/** Deadline of an immediate stop. */
const AT_ONCE_MS = 1000

/**
 * Stops `run` on signals: the first interrupts it, the second kills it at once.
 */
export function stopOnSignals(run: Run, onFirst: () => void): SignalListening {
  let received: Signal | undefined
  return listen((signal) => {
    if (received) {
      run.kill()
      // A container that is still starting cannot be killed yet; it exits once this process is gone.
      setTimeout(() => process.exit(EXIT_CODES[received ?? signal]), AT_ONCE_MS).unref()
      return
    }
    received = signal
    onFirst()
    run.interrupt()
  })
}

/** An `AbortSignal` that SIGINT, SIGTERM or SIGHUP aborts. */
export function abortOnSignals(): SignalListening & { signal: AbortSignal } {
  const controller = new AbortController()
  return { signal: controller.signal, ...listen(() => controller.abort()) }
}

interface SignalListening {
  /** The exit code for the first signal; undefined when none arrived. */
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
