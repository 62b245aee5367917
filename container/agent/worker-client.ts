import { messageOf } from '../../shared/errors.ts'
import { oneLine } from '../../shared/visible-text.ts'
import type { Session } from '../worker/sessions.ts'
import type { ToolResult } from '../worker/tool.ts'
import { endProcesses } from './end-processes.ts'
import { type ExclusiveUser, exclusiveUser, type ToolUser, toolUser } from './tool-user.ts'
import { type WorkerOptions, WorkerProcess } from './worker-process.ts'
import { notStartedResult } from './worker-results.ts'

/**
 * The agent's side of the worker process. When a worker dies or hangs, its running calls fail with a
 * result for the model; the next call starts a new worker.
 */
export class WorkerClient {
  readonly #options: WorkerOptions
  readonly #script: string
  readonly #user: ToolUser
  readonly #exclusive: ExclusiveUser | undefined
  #process: WorkerProcess | undefined

  /**
   * `script`: the container script, which has the role `worker`. Default: the running one.
   * @throws CodexboxError `image-unusable`, `request-invalid`
   */
  constructor(options: WorkerOptions, script = process.argv[1] ?? '') {
    this.#options = options
    this.#script = script
    this.#user = toolUser(options)
    this.#exclusive = exclusiveUser(this.#user, options)
  }

  /** Whether the tools can neither read our memory nor write to our output. */
  get isIsolated(): boolean {
    return this.#user.isIsolated
  }

  /** Starts the process ahead of the first call, which would otherwise wait 70 ms for it. */
  prepare(): void {
    try {
      this.#process ??= this.#start()
    } catch {
      // The first call tries again, and reports the error.
    }
  }

  /**
   * Never rejects: an error is a result the model can read. `input` is the text for a free-form tool, an
   * object for any other. `onOutput` gets the tool's output while it runs, at most some ten times a
   * second and some kilobytes at once; the middle of a flood is left out.
   */
  async call(
    name: string,
    input: unknown,
    onOutput: (text: string) => void = () => {},
  ): Promise<ToolResult> {
    try {
      this.#process ??= this.#start()
      return this.#process.call(name, input, onOutput)
    } catch (error) {
      return notStartedResult(messageOf(error))
    }
  }

  /**
   * Ends the running calls, each answered with its output so far, and the commands that outlived their
   * call.
   */
  cancel(): void {
    this.#process?.cancel()
  }

  /**
   * Ends the processes that the tools left running at the end of a run, except for the sessions that the model
   * knows; where the run `isLast`, those as well. Resolves with notices for the user.
   * @throws Error when a process cannot be ended
   */
  async endRun({ isLast }: { isLast: boolean }): Promise<string[]> {
    if (isLast) {
      await this.stop()
      this.endAll()
      return []
    }
    const sessions = this.#process ? await this.#process.sessions() : []
    if (!sessions) {
      this.endAll()
      return [NO_ANSWER]
    }
    if (this.#endAllBut(sessions)) return sessions.map(noticeOf)
    this.endAll()
    return [TOO_MANY]
  }

  /**
   * Ends at once the worker and, where its user runs nothing else, every process of that user.
   * @throws Error when a process cannot be ended
   */
  endAll(): void {
    this.#process?.kill()
    this.#process = undefined
    if (this.#exclusive) endProcesses(this.#exclusive)
  }

  /** Ends the worker and its commands. */
  async stop(): Promise<void> {
    const worker = this.#process
    this.#process = undefined
    await worker?.stop()
  }

  #endAllBut(sessions: readonly Session[]): boolean {
    if (!this.#exclusive) return true
    const leaders = sessions.map(({ pid }) => pid)
    return endProcesses(this.#exclusive, { pid: this.#process?.pid, leaders })
  }

  /** @throws Error where the constructor of `WorkerProcess` does */
  #start(): WorkerProcess {
    const worker = new WorkerProcess(this.#script, this.#user, this.#options, () => {
      if (this.#process === worker) this.#lost()
    })
    return worker
  }

  /** The commands of a lost worker can be neither read nor ended by the model any more. */
  #lost(): void {
    try {
      this.endAll()
    } catch {
      // `endRun` tries again, and reports the error.
    }
  }
}

const NO_ANSWER =
  'The process that runs the tools did not answer at the end of the run: it was ended, with all that it had left running.'

const TOO_MANY =
  'The tools began processes faster than these could be ended: all were ended at once, background sessions as well.'

const MAX_TITLE_CHARS = 100

function noticeOf({ id, title }: Session): string {
  return `A command goes on in the background, as session ${id}: ${oneLine(title, MAX_TITLE_CHARS)}`
}
