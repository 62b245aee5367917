import { setTimeout as sleep } from 'node:timers/promises'
import type Dockerode from 'dockerode'
import { CodexboxError } from '../../shared/errors.ts'
import { engineRequest, isGone } from './engine-request.ts'
import type { WorkspaceSharer } from './workspace-sharers.ts'

/** The engines' states of a container that does not run yet. */
const STARTING = ['created', 'configured', 'initialized']

export const isBeingStarted = (status: string) => STARTING.includes(status)

/** The engine's own state; `gone` when the container does not exist. */
export async function statusOfContainer(
  container: Dockerode.Container,
  engineLabel: string,
): Promise<string> {
  try {
    const { State } = await engineRequest(
      (abortSignal) => container.inspect({ abortSignal }),
      engineLabel,
    )
    return State.Status
  } catch (error) {
    if (isGone(error)) return 'gone'
    throw error
  }
}

const LIMIT_MS = 30_000
const PAUSE_MS = 50

/**
 * Waits until the containers of the sharers have started, or are gone. `limitMs` applies to each.
 * @throws CodexboxError `engine-unavailable` for a container that takes longer
 */
export async function untilStarted(
  docker: Dockerode,
  sharers: readonly WorkspaceSharer[],
  engineLabel: string,
  limitMs = LIMIT_MS,
): Promise<void> {
  for (const { id, pid, workspace } of sharers) {
    const giveUpAt = performance.now() + limitMs
    while (isBeingStarted(await statusOfContainer(docker.getContainer(id), engineLabel))) {
      if (performance.now() > giveUpAt) throw notStarted(pid, workspace, limitMs)
      await sleep(PAUSE_MS)
    }
  }
  // Jitter: of two hosts that wait for each other, one has to retry first.
  await sleep(Math.random() * 250)
}

function notStarted(
  pid: number | undefined,
  workspace: string | undefined,
  limitMs: number,
): CodexboxError {
  return new CodexboxError(
    'engine-unavailable',
    `The container of another conversation, in ${workspace ?? 'an unknown folder'} (process ${pid ?? 'unknown'}), ` +
      `has not started within ${limitMs / 1000} s. It shares files with this workspace, and tools in here could change ` +
      'what is mounted there. End that process or wait for it, and try again.',
  )
}
