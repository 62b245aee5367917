import type { RenewalOrder } from './renewal-order.ts'
import {
  type RenewalAnswer,
  type RenewalProcess,
  startRenewalProcess,
} from './start-renewal-process.ts'

/**
 * Carries out each order in a renewal process, which is kept for a short time: to start one takes ten
 * times as long as to renew. One that died or hangs is replaced at the next order.
 * @throws CodexboxError like `startRenewalProcess`.
 */
export function keptRenewalProcess(): (order: RenewalOrder) => Promise<RenewalAnswer> {
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
    timer = setTimeout(() => take()?.end(), IDLE_MS).unref()
  }

  return async (order) => {
    const known = take()
    const one = known?.isRunning() ? known : startRenewalProcess()
    const answer = await one.carryOut(order)
    if (answer.status === 'answered') keep(one)
    else one.end()
    return answer
  }
}

const IDLE_MS = 10_000
