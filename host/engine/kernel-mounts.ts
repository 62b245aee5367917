import { readFileSync } from 'node:fs'
import type Dockerode from 'dockerode'
import { CodexboxError, messageOf, systemCodeOf } from '../../shared/errors.ts'
import { askEngine } from './ask-engine.ts'
import { type Mount, parseMountTable } from './mount-table.ts'

/** A container ended before it had said what was waited for. */
export class EndedError extends Error {
  override readonly name = 'EndedError'
}

/** Those of this process; none where the kernel has no such table. */
export function ownMounts(): Mount[] {
  try {
    return parseMountTable(readFileSync('/proc/self/mountinfo', 'utf8'))
  } catch {
    return []
  }
}

/**
 * The mounts of a running container as the kernel tells them; undefined where its process cannot be seen from
 * here: the engine is elsewhere, or this process is in a container itself, or sees its own user's processes only.
 * @throws EndedError; CodexboxError `engine-unavailable` for a process that is there and whose mounts cannot be read
 */
export async function mountsOf(
  container: Dockerode.Container,
  where: string,
): Promise<Mount[] | undefined> {
  if (process.platform !== 'linux') return undefined
  const { State } = await askEngine((abortSignal) => container.inspect({ abortSignal }), where)
  try {
    const table = parseMountTable(readFileSync(`/proc/${State.Pid}/mountinfo`, 'utf8'))
    // By another machine's word the number is some other process's.
    const isIts = readFileSync(`/proc/${State.Pid}/cgroup`, 'utf8').includes(container.id)
    return isIts ? table : undefined
  } catch (error) {
    const code = systemCodeOf(error)
    // A process that has ended and is still listed has no mounts any more.
    if (code === 'EINVAL') throw new EndedError('its process has ended')
    if (code !== undefined && NOT_SEEN.includes(code)) return undefined
    throw new CodexboxError(
      'engine-unavailable',
      `What is mounted in a container of the engine (${where}) cannot be read: ${messageOf(error)}. ` +
        'Start codexbox where it can see the processes of its containers.',
      { cause: error },
    )
  }
}

const NOT_SEEN = ['ENOENT', 'EACCES', 'ESRCH']
