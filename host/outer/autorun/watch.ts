import type { AutorunChanges, WorkspaceWatch } from '../../runs/workspace-watch.ts'
import { unreadReport } from './report.ts'
import { prepareScan, type ScanResult, Stop, scanInProcess } from './scan-in-process.ts'

type WatchedRun = Parameters<WorkspaceWatch['runBegins']>[0]

/**
 * Watches files that can run commands on the user's machine; `root` is the workspace's real path. Call it while other
 * work is pending, so that starting the process costs no time.
 */
export function watchAutorun(root: string): WorkspaceWatch {
  // After the caller's own requests have been sent.
  setImmediate(prepareScan)
  return new Watch(root)
}

class Watch implements WorkspaceWatch {
  readonly #root: string
  /** The states of the last scan, opaque here. */
  #states: string | undefined
  /** Why the first scan gave no states. */
  #problem: string | undefined
  /** Serialises the scans. */
  #looks: Promise<unknown> = Promise.resolve()
  /** Whether a container may have run since the last scan. */
  #isWorking = false
  #left: AutorunChanges | undefined

  constructor(root: string) {
    this.#root = root
  }

  runBegins(run: WatchedRun): () => Promise<void> {
    this.#isWorking = true
    const stop = stopWith(run)
    const told = this.#looks.then(() => {
      if (this.#left) run.emit({ type: 'planted', ...this.#left })
      this.#left = undefined
    })
    return () => {
      // Processes left by an agent may write between two runs, so a run is compared with the end of the previous one.
      const looked = told.then(() => (this.#states ? undefined : this.#lookBefore(run, stop)))
      this.#looks = Promise.all([this.#looks, looked])
      return looked
    }
  }

  async runOver(run: WatchedRun): Promise<void> {
    await this.#looks
    const planted = this.#states
      ? await this.#lookAfter(run)
      : this.#problem &&
        unreadReport(`what was there before the run is not known: ${this.#problem}`)
    if (planted) run.emit({ type: 'planted', ...planted })
  }

  async containerGone(): Promise<AutorunChanges | undefined> {
    if (this.#isWorking) {
      this.#isWorking = false
      // A run that begins meanwhile waits for this scan.
      this.#looks = this.#looks.then(() => this.#lookAtLeft())
    }
    await this.#looks
    return this.#left
  }

  async #lookAtLeft(): Promise<void> {
    if (this.#states !== undefined) this.#left = this.#told(await this.#lookNow({ onlyNews: true }))
  }

  async #lookBefore(run: WatchedRun, stop: Stop): Promise<void> {
    const result = await this.#lookNow({ onlyNews: true }, stop)
    if (result.status === 'failed') {
      this.#problem = result.reason
      return
    }
    for (const name of result.report.hardLinks) {
      run.emit({
        type: 'notice',
        message:
          `${name} has another name (a hard link). If that lies in the workspace, tools can change the file by it, ` +
          'although they can only read it here. Put a copy in its place.',
      })
    }
  }

  async #lookNow(options: { onlyNews: boolean }, stop = new Stop()): Promise<ScanResult> {
    const result = await scanInProcess({ root: this.#root, ...options }, this.#states, stop)
    if (result.status === 'looked') this.#states = result.states
    // A user who stopped this scan does not want to wait for the one at the end, either.
    else if (stop.isStopped) this.#isWorking = false
    return result
  }

  async #lookAfter(run: WatchedRun): Promise<AutorunChanges | undefined> {
    const look = this.#lookNow({ onlyNews: false }, stopWith(run))
    this.#looks = look
    return this.#told(await look)
  }

  #told(result: ScanResult): AutorunChanges | undefined {
    if (result.status === 'looked') return result.report.report
    return unreadReport(`the look did not come to its end: ${result.reason}`)
  }
}

/** A `Stop` that an interrupt of the run triggers from now on. */
function stopWith(run: WatchedRun): Stop {
  const stop = new Stop()
  run.whenStopped(() => stop.stop())
  return stop
}
