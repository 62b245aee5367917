import type { EventBody } from '../../shared/protocol.ts'
import type { Run } from './run.ts'

/** What the event `planted` says: files that may run commands of their own on the user's machine. */
export type AutorunChanges = Omit<Extract<EventBody, { type: 'planted' }>, 'type'>

type WatchedRun = Pick<Run, 'emit' | 'whenStopped'>

/** Compares a workspace before and after the tools of a conversation were at work in it. Nothing of it rejects. */
export interface WorkspaceWatch {
  /**
   * Emits `planted` if something has changed since the run before. What is returned is to be called once the agent is up,
   * and settles when it is known how the workspace is before the run: no tool may start until then.
   */
  runBegins(run: WatchedRun): () => Promise<void>
  /** The last process of the run's tools is gone. Emits `planted` if there is something to say. */
  runOver(run: WatchedRun): Promise<void>
  /**
   * The container is gone, and with it what was left running in it. What has changed since the last run; it is said
   * with the next run if the result is not used.
   */
  containerGone(): Promise<AutorunChanges | undefined>
}
