import type { Readable, Writable } from 'node:stream'
import type { CodexboxError } from '../../shared/errors.ts'
import type { NetworkMode } from '../config.ts'
import type { MountSource } from '../workspace/mount-source.ts'
import type { Pin } from '../workspace/pin-git.ts'
import type { WorkspaceSharer } from './workspace-sharers.ts'

/** What one conversation needs to run in. Paths are the host's. */
export interface AgentSpec {
  /** Unique; known before anything is created. */
  name: string
  /** The container script. */
  agentFile: string
  /** Held open by the caller until `start` has settled. */
  workspace: MountSource
  /** Parts of the workspace that are mounted on top of themselves, where anything is mounted. */
  pinned?: readonly Pin[]
  /** Folder with the gateway's socket `gateway.sock` (sealed mode). */
  socketFolder: string | undefined
  /**
   * Settles at the first connection with that socket. The agent connects at once, which proves that the folder is
   * shared. Absent: the folder is taken for shared.
   */
  reached?: Promise<void>
  network: NetworkMode
  /** Who runs the tools. */
  user: { uid: number; gid: number }
  /** No files of names are mounted: the user of the tools has its number, and the image's names. */
  isNameless?: boolean
}

/** The agent's process, wherever it runs, and its two ends of the line protocol. */
export interface AgentProcess {
  /** Where things are for the agent, and as whom and with what it is to run the tools. */
  readonly view: {
    workspace: string
    socketPath: string | undefined
    worker: { uid: number; gid: number } | undefined
    /** What the commands of tools have in their environment beyond the agent's own. */
    toolEnvironment?: Readonly<Record<string, string>>
  }
  /**
   * Why the agent gets to the host's sockets by a relay, where it does; `isUnexpected` when it was to get
   * there by a mounted folder, and could not.
   */
  readonly relayed?: { because: string; isUnexpected: boolean }
  /** Other conversations whose tools reach files of this one. */
  readonly sharedWith?: readonly WorkspaceSharer[]
  /** Parts of the workspace that were to be pinned and are not: tools of those others could move them. */
  readonly unpinned?: readonly string[]
  /** Ending it tells the agent that its host is gone. */
  readonly stdin: Writable
  readonly stdout: Readable
  /** The last of what was written to stderr; for error messages. */
  stderrTail(): string
  /** Never rejects. */
  readonly exited: Promise<AgentExit>
  /**
   * Asks it to leave, kills it after `graceMs`, removes what was created. May be called often, and
   * never rejects: an engine that is gone removes nothing, and its container leaves by itself.
   */
  stop(graceMs: number): Promise<void>
}

/**
 * `lost` says why the agent's own end could not be observed, with the `error` it amounts to where
 * that is known.
 */
export type AgentExit =
  | { code: number | null; signal: string | null }
  | { lost: string; error?: CodexboxError }

export interface Engine {
  readonly name: 'docker' | 'process'
  /** For people: where the engine is, or what it is not. */
  readonly description: string
  /**
   * Throws CodexboxError `engine-unavailable` or `image-missing` when nothing could be started now,
   * saying what to do.
   */
  check(): Promise<void>
  /** Throws like `check`, and `image-unusable`; what was created by then is removed. */
  start(spec: AgentSpec): Promise<AgentProcess>
}

/** Keeps the last bytes of a stream. */
export function tailOf(stream: Readable, maxBytes = 4096): () => string {
  let tail = Buffer.alloc(0)
  stream.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-maxBytes)
  })
  return () => tail.toString('utf8').trim()
}
