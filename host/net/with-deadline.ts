/**
 * Runs `work` with a signal that fires after `ms` or when `signal` does. Not
 * `AbortSignal.any([signal, AbortSignal.timeout(ms)])`: on Node 20 no reference holds that timeout,
 * and once it is garbage collected it never fires.
 */
export async function withDeadline<T>(
  ms: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const stop = () => controller.abort(signal?.reason)
  const timer = setTimeout(() => {
    controller.abort(new DOMException(`Took longer than ${ms / 1000} s`, 'TimeoutError'))
  }, ms)
  if (signal?.aborted) stop()
  signal?.addEventListener('abort', stop, { once: true })
  try {
    return await work(controller.signal)
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stop)
  }
}
