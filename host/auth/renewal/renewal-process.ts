/**
 * Renewals in a process of its own, which `renewInProcess` starts: each order is a line on stdin, its
 * result a line on stdout. It finishes what it has begun though its parent is gone or it is asked to
 * stop; the time limits of the lock and of the request see to its end.
 */
import { CodexboxError } from '../../../shared/errors.ts'
import { readLines } from '../../../shared/read-lines.ts'
import { fileTokenStore } from '../token-store.ts'
import { RenewalRequest, RenewalResult } from './process-protocol.ts'
import { renewUnderLock } from './renew.ts'
import { RetryAfterError } from './retry-after-error.ts'

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
process.stdout.on('error', () => {}) // Nobody is there to read it any more.

/** An order holds an access token and a path. */
const MAX_ORDER_BYTES = 1024 * 1024

for await (const line of readLines(process.stdin, MAX_ORDER_BYTES)) {
  const result = await carryOut(RenewalRequest.parse(JSON.parse(line)))
  await new Promise((resolve) => process.stdout.write(`${JSON.stringify(result)}\n`, resolve))
}
process.exit()

async function carryOut(order: RenewalRequest): Promise<RenewalResult> {
  const { dataDir, issuer, timeoutMs, lockTimeoutMs, staleMs, ...due } = order
  const store = fileTokenStore(dataDir, { lockTimeoutMs, staleMs })
  try {
    await renewUnderLock({ store, issuer: new URL(issuer), timeoutMs })(due)
    return { status: 'ok' }
  } catch (error) {
    if (!(error instanceof CodexboxError)) throw error
    const { code, message } = error
    const pauseMs = error instanceof RetryAfterError ? error.retryAfterMs : undefined
    return RenewalResult.parse({ status: 'failed', code, message, pauseMs })
  }
}
