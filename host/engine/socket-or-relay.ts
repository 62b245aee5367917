import { setTimeout as sleep } from 'node:timers/promises'
import type Dockerode from 'dockerode'
import type { AgentProcess, AgentSpec } from './engine.ts'
import { type Relay, startRelay } from './relay.ts'
import { inside } from './sandbox-policy.ts'

/** A container's connection to the sockets of its host. */
export interface HostChannel extends Pick<AgentProcess, 'relayed'> {
  /** The gateway's socket; a path in the container. */
  socketPath: string | undefined
  relay?: Relay
}

/** A connection through a mounted socket takes one start of Node. */
const REACHED_MS = 1000

/** How long after the end of its processes the engine may report the end of a container. */
export const END_MS = 3000

export interface HostChannelOptions {
  /** Why mounted sockets cannot be used, where known; they are not mounted then. */
  whyNot: string | undefined
  /** For messages. */
  engineLabel: string
  /** Settles when the container has ended. */
  ended: Promise<unknown>
}

/**
 * Why an engine cannot share sockets with this process, as far as that is known in advance; undefined
 * when only a try can tell.
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
 * Opens the channel of a container that has just started: the mounted socket once the agent has connected through it,
 * or else a relay. A container that has ended meanwhile gets no relay.
 * @throws CodexboxError `engine-unavailable` when neither works
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
    // The relay started after the agent, so the agent was only slow if its connection has arrived by now.
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
    // The container's end has the better reason.
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
