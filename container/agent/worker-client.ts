import { messageOf } from '../../shared/errors.ts'
import { boundedResult } from '../worker/answer-bounds.ts'
import type { ToolResult } from '../worker/tool.ts'
import { type ToolUser, toolUser } from './tool-user.ts'
import type { CheckedAnswer } from './worker-answer.ts'
import { type WorkerOptions, WorkerProcess } from './worker-process.ts'

/** Time a worker has to answer once a tool's time is up, or it was cancelled, before it counts as stuck. */
const GRACE_MS = 5000

interface Waiting {
  onOutput(text: string): void
  onResult(result: ToolResult): void
}

/**
 * The agent's side of the worker process. A worker that dies or hangs costs the calls it was busy
 * with, which the model is told; the next call gets a new one.
 */
export class WorkerClient {
  readonly #options: WorkerOptions
  readonly #script: string
  readonly #user: ToolUser
  readonly #waiting = new Map<number, Waiting>()
  #process: WorkerProcess | undefined
  #lastId = 0

  /**
   * `script`: the container script, of which the worker is the other half. Default: the one that runs.
   * @throws CodexboxError `image-unusable`
   */
  constructor(options: WorkerOptions, script = process.argv[1] ?? '') {
    this.#options = options
    this.#script = script
    this.#user = toolUser(options)
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
  call(
    name: string,
    input: unknown,
    onOutput: (text: string) => void = () => {},
  ): Promise<ToolResult> {
    const { limits } = this.#options
    const id = ++this.#lastId
    return new Promise((resolve) => {
      const deadline = setTimeout(() => this.#process?.kill(), limits.toolMs + GRACE_MS)
      const onResult = (result: ToolResult) => {
        clearTimeout(deadline)
        resolve(result)
      }
      this.#waiting.set(id, { onOutput, onResult })
      try {
        this.#process ??= this.#start()
        this.#process.send({ type: 'call', id, name, input, limits })
      } catch (error) {
        this.#settle(id, notStartedResult(messageOf(error)))
      }
    })
  }

  /**
   * Ends the calls that are running, each is answered with what it had put out so far, and the commands
   * that outlived their call.
   */
  cancel(): void {
    const worker = this.#process
    if (!worker) return
    const cancelled = [...this.#waiting.keys()]
    worker.send({ type: 'cancel' })
    const stuck = setTimeout(() => {
      if (cancelled.some((id) => this.#waiting.has(id))) worker.kill()
    }, GRACE_MS)
    stuck.unref()
  }

  /** Ends the worker and what it runs. */
  async stop(): Promise<void> {
    await this.#process?.stop()
  }

  /** Throws where the process does. */
  #start(): WorkerProcess {
    const worker: WorkerProcess = new WorkerProcess(this.#script, this.#user, this.#options, {
      onAnswer: (answer) => this.#take(answer),
      onEnd: (how) => this.#lost(worker, how),
    })
    return worker
  }

  #take(answer: CheckedAnswer): void {
    switch (answer.type) {
      case 'ready':
        break
      case 'output':
        this.#waiting.get(answer.id)?.onOutput(answer.text)
        break
      case 'result':
        // The worker sees to it; but it may not be the worker that has written this.
        this.#settle(answer.id, boundedResult(answer.result, this.#options.limits))
        break
    }
  }

  #lost(worker: WorkerProcess, how: Promise<string>): void {
    if (this.#process !== worker) return
    this.#process = undefined
    const result = worker.isReady ? lostResult : notStartedResult
    const ids = [...this.#waiting.keys()]
    void how.then((why) => {
      for (const id of ids) this.#settle(id, result(why))
    })
  }

  #settle(id: number, result: ToolResult): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    waiting?.onResult(result)
  }
}

/** A call that was under way may have been carried out; the model must not simply repeat it. */
function lostResult(how: string): ToolResult {
  return {
    ok: false,
    output:
      `error: the process that runs the tools was lost (${how}); whether this was carried out, ` +
      'wholly or in part, is not known; a new process is started',
    summary: 'the tool process was lost',
  }
}

function notStartedResult(why: string): ToolResult {
  return {
    ok: false,
    output: `error: this was not carried out: the process that runs the tools could not be started: ${why}`,
    summary: 'the tool process could not be started',
  }
}
