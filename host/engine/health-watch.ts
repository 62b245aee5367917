import { setTimeout as sleep } from 'node:timers/promises'
import type Dockerode from 'dockerode'
import { messageOf } from '../../shared/errors.ts'
import { engineUnavailable, ping } from './engine-request.ts'

const PROBE_MS = 3000
const ANSWER_MS = 4000
const AGAIN_MS = 500

/** The fault, or undefined. Rejects when there is no answer before the signal. */
type Probe = (abortSignal: AbortSignal) => Promise<string | undefined>

/**
 * Watches a running container until `signal` aborts, then resolves with undefined. Resolves with the
 * reason within 15 s after the container was paused or its engine began to hang. Neither closes a
 * connection, so no other part would notice.
 */
export function watchContainer(
  container: Dockerode.Container,
  signal: AbortSignal,
): Promise<string | undefined> {
  return watch(signal, async (abortSignal) => {
    const { State } = await container.inspect({ abortSignal })
    return State.Paused ? 'somebody paused it' : undefined
  })
}

/**
 * Settles like `work`, unless the engine hangs meanwhile, which is detected within 15 s however
 * long the work takes. `engineLabel` names the engine in messages.
 * @throws CodexboxError `engine-unavailable` when the engine hangs
 */
export async function unlessEngineHangs<T>(
  docker: Dockerode,
  engineLabel: string,
  work: Promise<T>,
): Promise<T> {
  const done = new AbortController()
  const silent = watch(done.signal, async (abortSignal) => {
    await ping(docker, abortSignal)
    return undefined
  })
  const unlessSilent = silent.then((reason) => {
    // No reason: the work has ended.
    return reason ? Promise.reject(engineUnavailable(engineLabel, new Error(reason))) : work
  })
  try {
    return await Promise.race([work, unlessSilent])
  } finally {
    done.abort()
  }
}

async function watch(signal: AbortSignal, probe: Probe): Promise<string | undefined> {
  try {
    for (;;) {
      await sleep(PROBE_MS, undefined, { signal, ref: false })
      if (!(await faultOf(probe))) continue
      // One failure does not count: this process may itself have been halted while its clock ran on.
      await sleep(AGAIN_MS, undefined, { signal, ref: false })
      const reason = await faultOf(probe)
      if (reason) return reason
    }
  } catch (error) {
    if (signal.aborted) return undefined
    throw error
  }
}

async function faultOf(probe: Probe): Promise<string | undefined> {
  try {
    return await probe(AbortSignal.timeout(ANSWER_MS))
  } catch (error) {
    // Any answer shows that the engine works; the exit reports a removed container.
    if (error instanceof Error && 'statusCode' in error && error.statusCode) return undefined
    return `the engine does not answer any more (${messageOf(error)})`
  }
}
