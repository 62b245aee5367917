import type { RenewalRequest } from './process-protocol.ts'
import { type RenewalAnswer, type RenewalProcess, startRenewalProcess } from './start-process.ts'

export type CarryOut = (request: RenewalRequest) => Promise<RenewalAnswer>

export interface KeptRenewalProcessOptions {
  /** How long an idle process waits before it ends. Default: 10 s. */
  idleMs?: number | undefined
  /** See `RenewalProcessOptions`. */
  limitMs?: number | undefined
}

/**
 * Carries out each request in a renewal process, which stays idle for a short time afterwards: the start
 * of one takes ten times as long as a renewal. The next request replaces a process that died or hangs.
 * @throws CodexboxError like `startRenewalProcess`.
 */
export function keptRenewalProcess(options: KeptRenewalProcessOptions = {}): CarryOut {
  const { idleMs = 10_000, limitMs } = options
  let idle: RenewalProcess | undefined
  let timer: NodeJS.Timeout | undefined

  const take = () => {
    clearTimeout(timer)
    const taken = idle
    idle = undefined
    return taken
  }
  const giveBack = (child: RenewalProcess) => {
    take()?.end()
    child.rest()
    idle = child
    timer = setTimeout(() => take()?.end(), idleMs).unref()
  }

  return async (request) => {
    const pooled = take()
    const child = pooled?.isRunning() ? pooled : startRenewalProcess({ limitMs })
    const answer = await child.carryOut(request)
    if (answer.status === 'answered') giveBack(child)
    else child.end()
    return answer
  }
}
