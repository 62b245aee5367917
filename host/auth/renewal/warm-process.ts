import type { RenewalRequest } from './process-protocol.ts'
import { type RenewalAnswer, type RenewalProcess, startRenewalProcess } from './start-process.ts'

export type CarryOut = (order: RenewalRequest) => Promise<RenewalAnswer>

export interface KeptRenewalProcessOptions {
  /** For how long it rests before it ends. Default: 10 s. */
  idleMs?: number | undefined
  /** See `RenewalProcessOptions`. */
  limitMs?: number | undefined
}

/**
 * Carries out each order in a renewal process, which is kept for a short time: to start one takes ten
 * times as long as to renew. One that died or hangs is replaced at the next order.
 * @throws CodexboxError like `startRenewalProcess`.
 */
export function keptRenewalProcess(options: KeptRenewalProcessOptions = {}): CarryOut {
  const { idleMs = 10_000, limitMs } = options
  let kept: RenewalProcess | undefined
  let timer: NodeJS.Timeout | undefined

  const take = () => {
    clearTimeout(timer)
    const taken = kept
    kept = undefined
    return taken
  }
  const keep = (one: RenewalProcess) => {
    take()?.end()
    one.rest()
    kept = one
    timer = setTimeout(() => take()?.end(), idleMs).unref()
  }

  return async (order) => {
    const known = take()
    const one = known?.isRunning() ? known : startRenewalProcess({ limitMs })
    const answer = await one.carryOut(order)
    if (answer.status === 'answered') keep(one)
    else one.end()
    return answer
  }
}
