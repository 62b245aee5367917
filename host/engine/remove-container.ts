import type Dockerode from 'dockerode'
import { ANSWER_MS, isGone, statusOf } from './engine-request.ts'

/**
 * Removes a container, running or not, with its anonymous volumes. Never rejects: false when
 * the engine does not confirm the removal within 10 s.
 */
export async function removeContainer(container: Dockerode.Container): Promise<boolean> {
  const abortSignal = AbortSignal.timeout(ANSWER_MS)
  try {
    // On Podman a removal sends SIGTERM and waits, so kill first. Killing a stopped container fails, harmlessly.
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
    // The container has ended, and the engine is already removing it.
    await container.wait({ condition: 'removed', abortSignal })
  }
}
