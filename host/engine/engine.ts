import type { Readable, Writable } from 'node:stream'
import type { CodexboxError } from '../../shared/errors.ts'
import type { NetworkMode } from '../config.ts'
import type { MountSource } from '../workspace/mount-source.ts'
import type { Pin } from '../workspace/pin-git.ts'
import type { WorkspaceSharer } from './workspace-sharers.ts'

/** The agent of one conversation. Paths are the host's. */
export interface AgentSpec {
  /** Unique; chosen before the container is created. */
  name: string
  /** The container script. */
  agentFile: string
  /** Held open by the caller until `start` has settled. */
  workspace: MountSource
  /** Parts of the workspace that an engine with mounts mounts on top of themselves. */
  pinned?: readonly Pin[]
  /** Folder with the gateway's socket `gateway.sock` (sealed mode). */
  socketFolder: string | undefined
  /**
   * Settles at the first connection to that socket. The agent connects at once, which proves that the folder is
   * shared. Absent: the folder is assumed to be shared.
   */
  reached?: Promise<void>
  network: NetworkMode
  /** The user that the tools run as. */
  user: { uid: number; gid: number }
  /** No passwd and group files are mounted: the image's names apply to the number of the tools' user. */
  usesImageNames?: boolean
}

/** The agent's process, in a container or not, and its two ends of the line protocol. */
export interface AgentProcess {
  /** The agent's own paths, and the user and environment for its tools. */
  readonly view: {
    workspace: string
    socketPath: string | undefined
    worker: { uid: number; gid: number } | undefined
    /** Variables for the commands of tools, beyond the agent's own. */
    toolEnvironment?: Readonly<Record<string, string>>
  }
  /**
   * Present when the agent reaches the host's sockets through a relay, with the reason; `isUnexpected` when a mounted
   * folder was tried first and failed.
   */
  readonly relayed?: { because: string; isUnexpected: boolean }
  /** Other conversations whose tools reach files of this one. */
  readonly sharedWith?: readonly WorkspaceSharer[]
  /** Parts of the workspace that could not be pinned: tools of the sharers could move them. */
  readonly unpinned?: readonly string[]
  /** Ending it tells the agent that its host is gone. */
  readonly stdin: Writable
  readonly stdout: Readable
  /** The end of stderr; for error messages. */
  stderrTail(): string
  /** Never rejects. */
  readonly exited: Promise<AgentExit>
  /**
   * Asks the agent to exit, kills it after `graceMs`, removes the container. Idempotent; never rejects:
   * a vanished engine removes nothing, and its container ends by itself.
   */
  stop(graceMs: number): Promise<void>
}

/**
 * `lost` is the reason why the agent's exit could not be observed, with the resulting `error` where
 * it is known.
 */
export type AgentExit =
  | { code: number | null; signal: string | null }
  | { lost: string; error?: CodexboxError }

export interface Engine {
  readonly name: 'docker' | 'process'
  /** For people: the engine's address, or its lack of isolation. */
  readonly description: string
  /**
   * @throws CodexboxError `engine-unavailable` or `image-missing` when no agent could be started now,
   * with advice
   */
  check(): Promise<void>
  /** @throws like `check`, and `image-unusable`; a container created by then is removed */
  start(spec: AgentSpec): Promise<AgentProcess>
}

/** Buffers the last bytes of a stream. */
export function tailOf(stream: Readable, maxBytes = 4096): () => string {
  let tail = Buffer.alloc(0)
  stream.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-maxBytes)
  })
  return () => tail.toString('utf8').trim()
}
