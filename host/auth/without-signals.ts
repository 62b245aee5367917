/**
 * Runs `work` to its end though the process is asked to stop meanwhile, and lets it stop then. Who is
 * asked twice stops at once. Signals that others listen to are theirs.
 */
export async function withoutSignals<T>(work: () => Promise<T>): Promise<T> {
  let received: NodeJS.Signals | undefined
  const release = () => {
    for (const signal of SIGNALS) process.off(signal, hold)
    if (received && process.listenerCount(received) === 0) process.kill(process.pid, received)
  }
  const hold = (signal: NodeJS.Signals) => {
    const isSecond = received !== undefined
    received = signal
    if (isSecond) release()
  }
  for (const signal of SIGNALS) process.on(signal, hold)
  try {
    return await work()
  } finally {
    release()
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
