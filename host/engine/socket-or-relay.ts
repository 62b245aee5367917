import { setTimeout as sleep } from 'node:timers/promises'
import type Dockerode from 'dockerode'
import type { AgentProcess, AgentSpec } from './engine.ts'
import { type Relay, startRelay } from './relay.ts'
import { inside } from './sandbox-policy.ts'

/** How a container gets to the sockets of its host. */
export interface HostChannel extends Pick<AgentProcess, 'relayed'> {
  /** The gateway's, as the container sees it. */
  socketPath: string | undefined
  relay?: Relay
}

/** What it takes to come through a mounted socket is the start of Node. */
const REACHED_MS = 1000

/** How much later than the end of its processes that of a container may be known. */
export const END_MS = 3000

export interface HostChannelOptions {
  /** Why mounted sockets cannot be used, where that is known; they were not mounted then. */
  whyNot: string | undefined
  /** For messages. */
  engineLabel: string
  /** Settles when the container has ended. */
  ended: Promise<unknown>
}

/**
 * Why an engine cannot share sockets with this process, as far as it can be known without trying; undefined
 * when it has to be tried.
 */
export function whySocketsAreNotShared(
  { modem }: Dockerode,
  platform = process.platform,
): string | undefined {
  const { socketPath } = modem as { socketPath?: string }
  if (!socketPath) return 'the engine may be on another machine'
  const isInMachine = platform !== 'linux' || socketPath.includes('/.docker/desktop/')
  return isInMachine ? 'the engine is in a virtual machine' : undefined
}

/**
 * Finds the way of a container that has just started: the mounted socket once the agent has come through it,
 * or else a relay. Not even a relay, when the container has ended meanwhile.
 * @throws CodexboxError `engine-unavailable` when there is no way
 */
export async function openHostChannel(
  docker: Dockerode,
  container: Dockerode.Container,
  { socketFolder, reached }: Pick<AgentSpec, 'socketFolder' | 'reached'>,
  { whyNot, engineLabel, ended }: HostChannelOptions,
): Promise<HostChannel> {
  if (!socketFolder) return { socketPath: undefined }
  const mounted = { socketPath: inside.socketPath }
  const isMounted = whyNot === undefined
  const proof = reached ?? Promise.resolve()
  if (isMounted && (await happensWithin(REACHED_MS, proof, ended))) return mounted
  try {
    const relay = await startRelay(docker, container, { socketFolder, engineLabel })
    // On a slow machine it only took longer: by now the relay has started, and it was the second to do so.
    if (isMounted && (await happensWithin(0, proof))) {
      relay.close()
      return mounted
    }
    return {
      socketPath: inside.relayedSocketPath,
      relay,
      relayed: {
        because: whyNot ?? 'nothing came through the socket that is mounted into it',
        isUnexpected: isMounted,
      },
    }
  } catch (error) {
    // Its end tells more.
    if (await happensWithin(END_MS, ended)) return mounted
    throw error
  }
}

async function happensWithin(ms: number, ...events: Promise<unknown>[]): Promise<boolean> {
  const late = new AbortController()
  const timer = sleep(ms, false, { signal: late.signal })
  const happened = Promise.race(events).then(() => true)
  try {
    return await Promise.race([happened, timer])
  } finally {
    late.abort()
  }
}
