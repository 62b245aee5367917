import { setTimeout as sleep } from 'node:timers/promises'
import type Dockerode from 'dockerode'
import { messageOf } from '../../shared/errors.ts'

const LOOK_MS = 3000
const ANSWER_MS = 4000
const AGAIN_MS = 500

/**
 * Looks after a running container until `signal` aborts, then resolves with undefined. Resolves with
 * the reason once it cannot be relied on any more, within 15 s: somebody has paused it, or its engine
 * hangs. Neither ends a connection, so that nothing else would tell.
 */
export async function watchContainer(
  container: Dockerode.Container,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    for (;;) {
      await sleep(LOOK_MS, undefined, { signal, ref: false })
      if (!(await trouble(container))) continue
      // Once does not count: this process may have been stopped itself, and its clock was not.
      await sleep(AGAIN_MS, undefined, { signal, ref: false })
      const reason = await trouble(container)
      if (reason) return reason
    }
  } catch (error) {
    if (signal.aborted) return undefined
    throw error
  }
}

async function trouble(container: Dockerode.Container): Promise<string | undefined> {
  try {
    const { State } = await container.inspect({ abortSignal: AbortSignal.timeout(ANSWER_MS) })
    return State.Paused ? 'somebody paused it' : undefined
  } catch (error) {
    // An answer, whatever it is: one that is gone is told by its exit.
    if (error instanceof Error && 'statusCode' in error && error.statusCode) return undefined
    return `the engine does not answer any more (${messageOf(error)})`
  }
}
