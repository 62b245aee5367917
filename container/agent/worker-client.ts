import { messageOf } from '../../shared/errors.ts'
import { oneLine } from '../../shared/visible-text.ts'
import type { Session } from '../worker/sessions.ts'
import type { ToolResult } from '../worker/tool.ts'
import { endProcesses } from './end-processes.ts'
import { type ExclusiveUser, exclusiveUser, type ToolUser, toolUser } from './tool-user.ts'
import { type WorkerOptions, WorkerProcess } from './worker-process.ts'
import { notStartedResult } from './worker-results.ts'

/**
 * The agent's side of the worker process. A worker that dies or hangs costs the calls it was busy
 * with, which the model is told; the next call gets a new one.
 */
export class WorkerClient {
  readonly #options: WorkerOptions
  readonly #script: string
  readonly #user: ToolUser
  readonly #exclusive: ExclusiveUser | undefined
  #process: WorkerProcess | undefined

  /**
   * `script`: the container script, of which the worker is the other half. Default: the one that runs.
   * @throws CodexboxError `image-unusable`, `request-invalid`
   */
  constructor(options: WorkerOptions, script = process.argv[1] ?? '') {
    this.#options = options
    this.#script = script
    this.#user = toolUser(options)
    this.#exclusive = exclusiveUser(this.#user, options)
  }

  /** Whether what runs the tools can neither read our memory nor write to our output. */
  get isIsolated(): boolean {
    return this.#user.isIsolated
  }

  /** Starts the process ahead of the first call, which would otherwise wait 70 ms for it. */
  prepare(): void {
    try {
      this.#process ??= this.#start()
    } catch {
      // The first call tries again, and tells.
    }
  }

  /**
   * Never rejects: what goes wrong is a result the model can read. `input` is the text for a free-form
   * tool, an object for any other. `onOutput` is given what the tool puts out while it runs, at most
   * some ten times a second and some kilobytes at once; a flood is thinned.
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
   * Ends the calls that are running, each is answered with what it had put out so far, and the commands
   * that outlived their call.
   */
  cancel(): void {
    this.#process?.cancel()
  }

  /**
   * Ends what the tools have left running at the end of a run, but for the sessions that the model was told of;
   * where the run `isLast`, those as well. Resolves with what a person should know of it.
   * @throws Error when something cannot be ended
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
   * Ends at once the worker and, where its user runs nothing else, everything of that user.
   * @throws Error when something cannot be ended
   */
  endAll(): void {
    this.#process?.kill()
    this.#process = undefined
    if (this.#exclusive) endProcesses(this.#exclusive)
  }

  /** Ends the worker and what it runs. */
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

  /** Throws where the process does. */
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
      // Tried again at the end of the run, which is when it matters.
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
