import { setTimeout as sleep } from 'node:timers/promises'
import type Dockerode from 'dockerode'
import { messageOf } from '../../shared/errors.ts'
import { engineUnavailable, ping } from './engine-request.ts'

const LOOK_MS = 3000
const ANSWER_MS = 4000
const AGAIN_MS = 500

/** What is wrong, or undefined. Rejects when there is no answer before the signal. */
type Probe = (abortSignal: AbortSignal) => Promise<string | undefined>

/**
 * Looks after a running container until `signal` aborts, then resolves with undefined. Resolves with
 * the reason once it cannot be relied on any more, within 15 s: somebody has paused it, or its engine
 * hangs. Neither ends a connection, so that nothing else would tell.
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
 * What `work` comes to, unless the engine that it waits for hangs meanwhile, which is known within 15 s however
 * long the work may take. `engineLabel` is the engine, for messages.
 * @throws CodexboxError `engine-unavailable` then
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
  const given = silent.then((reason) => {
    // Without one, the work has ended.
    return reason ? Promise.reject(engineUnavailable(engineLabel, new Error(reason))) : work
  })
  try {
    return await Promise.race([work, given])
  } finally {
    done.abort()
  }
}

async function watch(signal: AbortSignal, probe: Probe): Promise<string | undefined> {
  try {
    for (;;) {
      await sleep(LOOK_MS, undefined, { signal, ref: false })
      if (!(await trouble(probe))) continue
      // Once does not count: this process may have been stopped itself, and its clock was not.
      await sleep(AGAIN_MS, undefined, { signal, ref: false })
      const reason = await trouble(probe)
      if (reason) return reason
    }
  } catch (error) {
    if (signal.aborted) return undefined
    throw error
  }
}

async function trouble(probe: Probe): Promise<string | undefined> {
  try {
    return await probe(AbortSignal.timeout(ANSWER_MS))
  } catch (error) {
    // An answer, whatever it is: one that is gone is told by its exit.
    if (error instanceof Error && 'statusCode' in error && error.statusCode) return undefined
    return `the engine does not answer any more (${messageOf(error)})`
  }
}
