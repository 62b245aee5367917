import type { EventBody } from '../../shared/protocol.ts'
import type { Run } from './run.ts'

/** The content of the event `planted`: files that may run commands on the user's machine by themselves. */
export type AutorunChanges = Omit<Extract<EventBody, { type: 'planted' }>, 'type'>

type WatchedRun = Pick<Run, 'emit' | 'whenStopped'>

/** Compares a workspace before and after the tools of a conversation changed it. No method rejects. */
export interface WorkspaceWatch {
  /**
   * Emits `planted` if autorun files have changed since the previous run. The returned function is called once the
   * agent is up, and settles when the workspace before the run is recorded: no tool may start until then.
   */
  runBegins(run: WatchedRun): () => Promise<void>
  /** The last process of the run's tools is gone. Emits `planted` if autorun files have changed. */
  runOver(run: WatchedRun): Promise<void>
  /**
   * The container and its background commands are gone. Resolves with the changes since the last run; the next run
   * reports them if the result is not used.
   */
  containerGone(): Promise<AutorunChanges | undefined>
}
