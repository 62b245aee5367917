import type Dockerode from 'dockerode'
import { ANSWER_MS, isGone, statusOf } from './engine-request.ts'

/**
 * Removes a container, running or not, with the volumes that nobody named. Never rejects: false when
 * the engine does not say within 10 s that it is gone.
 */
export async function removeContainer(container: Dockerode.Container): Promise<boolean> {
  const abortSignal = AbortSignal.timeout(ANSWER_MS)
  try {
    // By itself a removal asks politely and waits (Podman). What is not running cannot be killed.
    await container.kill({ abortSignal }).catch(() => {})
    await removeByForce(container, abortSignal)
    return true
  } catch (error) {
    return isGone(error)
  }
}

async function removeByForce(
  container: Dockerode.Container,
  abortSignal: AbortSignal,
): Promise<void> {
  try {
    await container.remove({ force: true, v: true, abortSignal })
  } catch (error) {
    if (statusOf(error) !== 409) throw error
    // The engine is at it already, because the container has ended.
    await container.wait({ condition: 'removed', abortSignal })
  }
}
