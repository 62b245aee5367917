/**
 * A renewal in a process of its own, which `renewApart` starts: the order comes on stdin, the result
 * goes to stdout. It finishes what it has begun though its parent is gone or it is asked to stop; the
 * time limits of the lock and of the request see to its end.
 */
import { text } from 'node:stream/consumers'
import { CodexboxError } from '../../shared/errors.ts'
import { renewUnderLock } from './renew-under-lock.ts'
import { RenewalOrder, RenewalResult } from './renewal-order.ts'
import { fileTokenStore } from './token-store.ts'

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
process.stdout.on('error', () => {}) // Nobody is there to read it any more.

const order = orderIn(await text(process.stdin))
if (!order) process.exit(2)
const result = await carryOut(order)
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit())

/** Undefined: the parent was killed while it wrote. */
function orderIn(input: string): RenewalOrder | undefined {
  if (!input.endsWith('\n')) return undefined
  return RenewalOrder.parse(JSON.parse(input))
}

async function carryOut(order: RenewalOrder): Promise<RenewalResult> {
  const { dataDir, issuer, timeoutMs, lockTimeoutMs, staleMs, ...due } = order
  const store = fileTokenStore(dataDir, { lockTimeoutMs, staleMs })
  try {
    await renewUnderLock({ store, issuer: new URL(issuer), timeoutMs })(due)
    return { status: 'ok' }
  } catch (error) {
    if (!(error instanceof CodexboxError)) throw error
    return RenewalResult.parse({ status: 'failed', code: error.code, message: error.message })
  }
}
