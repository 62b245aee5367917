/**
 * Renewals in a process of its own, which `renewInProcess` starts: each request is a line on stdin, its
 * result a line on stdout. The process finishes a renewal even if its parent is gone or a signal asks it
 * to stop; the time limits of the lock and of the HTTP request bound its life.
 */
import { CodexboxError } from '../../../shared/errors.ts'
import { readLines } from '../../../shared/read-lines.ts'
import { fileTokenStore } from '../token-store.ts'
import { RenewalRequest, RenewalResult } from './process-protocol.ts'
import { renewUnderLock } from './renew.ts'
import { RetryAfterError } from './retry-after-error.ts'

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
process.stdout.on('error', () => {}) // The reader is gone.

/** A request holds an access token and a path. */
const MAX_REQUEST_BYTES = 1024 * 1024

for await (const line of readLines(process.stdin, MAX_REQUEST_BYTES)) {
  const result = await carryOut(RenewalRequest.parse(JSON.parse(line)))
  await new Promise((resolve) => process.stdout.write(`${JSON.stringify(result)}\n`, resolve))
}
process.exit()

async function carryOut(request: RenewalRequest): Promise<RenewalResult> {
  const { dataDir, issuer, timeoutMs, lockTimeoutMs, staleMs, ...due } = request
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
