import type { Planted, WorkspaceWatch } from '../runs/workspace-watch.ts'
import { unreadReport } from './report.ts'
import { type ScanResult, scanInProcess } from './scan-in-process.ts'

type WatchedRun = Parameters<WorkspaceWatch['runBegins']>[0]

/** Watches what may run by itself on the user's machine; `root` is the workspace, without links. */
export function watchAutorun(root: string): WorkspaceWatch {
  return new Watch(root)
}

class Watch implements WorkspaceWatch {
  readonly #root: string
  /** Of the last look; not read here. */
  #states: string | undefined
  /** Why there are none. */
  #problem: string | undefined
  /** One look after the other. */
  #looks: Promise<unknown> = Promise.resolve()
  /** Whether a container may be there whose end nobody has looked at. */
  #isWorking = false
  #left: Planted | undefined

  constructor(root: string) {
    this.#root = root
  }

  async runBegins(run: WatchedRun): Promise<void> {
    this.#isWorking = true
    // What an agent leaves running may plant between two runs: so a later run is compared with the end of the one before.
    if (this.#states === undefined) await this.#lookBefore(run)
    else await this.#looks
    if (this.#left) run.emit({ type: 'planted', ...this.#left })
    this.#left = undefined
  }

  async runOver(run: WatchedRun): Promise<void> {
    await this.#looks
    const planted =
      this.#states === undefined
        ? unreadReport(`what was there before the run is not known: ${this.#problem}`)
        : this.#told(await this.#look({ onlyNews: false }, run))
    if (planted) run.emit({ type: 'planted', ...planted })
  }

  async containerGone(): Promise<Planted | undefined> {
    if (this.#isWorking) {
      this.#isWorking = false
      // A run that begins meanwhile waits for it.
      this.#looks = this.#looks.then(() => this.#lookAtLeft())
    }
    await this.#looks
    return this.#left
  }

  async #lookAtLeft(): Promise<void> {
    if (this.#states !== undefined) this.#left = this.#told(await this.#lookNow({ onlyNews: true }))
  }

  async #lookBefore(run: WatchedRun): Promise<void> {
    const result = await this.#look({ onlyNews: true }, run)
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

  #look(options: { onlyNews: boolean }, run?: WatchedRun): Promise<ScanResult> {
    const look = this.#looks.then(() => this.#lookNow(options, run))
    this.#looks = look
    return look
  }

  async #lookNow({ onlyNews }: { onlyNews: boolean }, run?: WatchedRun): Promise<ScanResult> {
    const stop = new AbortController()
    const release = run?.whenStopped(() => stop.abort())
    const order = { root: this.#root, onlyNews }
    const result = await scanInProcess(order, this.#states, stop.signal)
    release?.()
    if (result.status === 'looked') this.#states = result.states
    // A person who does not want to wait does not want to at the end, either.
    else if (stop.signal.aborted) this.#isWorking = false
    return result
  }

  #told(result: ScanResult): Planted | undefined {
    if (result.status === 'looked') return result.report.report
    return unreadReport(`the look did not come to its end: ${result.reason}`)
  }
}
