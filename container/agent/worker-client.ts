import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { messageOf } from '../../shared/errors.ts'
import { IMAGE_URL } from '../../shared/image-url.ts'
import type { RunRequest } from '../../shared/protocol.ts'
import { readLines } from '../../shared/read-lines.ts'
import { clip } from '../worker/clipped-output.ts'
import type { ToolResult } from '../worker/tool.ts'
import { MAX_WORKER_LINE_BYTES, type WorkerAnswer, type WorkerLine } from '../worker/worker.ts'
import { type ToolUser, toolUser } from './tool-user.ts'

type WorkerProcess = ChildProcessByStdio<Writable, Readable, null>

/** Time a worker has to answer once a tool's time is up, or it was cancelled, before it counts as stuck. */
const GRACE_MS = 5000

/** Time a worker has to end what it runs. */
const STOP_MS = 1000

/** What a tool says about its output. */
const HEAD_BYTES = 8 * 1024

/** Far above what the worker says at once while a tool runs. */
const MAX_TEXT_CHARS = 64 * 1024

/** Of all images of a result, as text: the largest file that is looked at has 10 MB. */
const MAX_IMAGE_CHARS = 16 * 1024 * 1024

type WorkerOptions = Pick<
  RunRequest,
  'workspace' | 'worker' | 'toolEnvironment' | 'egressSocketPath' | 'limits'
>

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
      const deadline = setTimeout(() => this.#process?.kill('SIGKILL'), limits.toolMs + GRACE_MS)
      const onResult = (result: ToolResult) => {
        clearTimeout(deadline)
        resolve(result)
      }
      this.#waiting.set(id, { onOutput, onResult })
      try {
        this.#process ??= this.#start()
        send(this.#process, { type: 'call', id, name, input, limits })
      } catch (error) {
        this.#settle(id, notStartedResult(error))
      }
    })
  }

  /**
   * Ends the calls that are running, each is answered with what it had put out so far, and the commands
   * that outlived their call.
   */
  cancel(): void {
    const child = this.#process
    if (!child) return
    const cancelled = [...this.#waiting.keys()]
    send(child, { type: 'cancel' })
    const stuck = setTimeout(() => {
      if (cancelled.some((id) => this.#waiting.has(id))) child.kill('SIGKILL')
    }, GRACE_MS)
    stuck.unref()
  }

  /** Ends the worker and what it runs. It does so itself when its stdin ends; a stuck one is killed. */
  async stop(): Promise<void> {
    const child = this.#process
    if (!child) return
    const exited = once(child, 'exit')
    child.stdin.end()
    const stuck = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    await exited
    clearTimeout(stuck)
  }

  /** Throws where spawn does, which is when it may not change to the user asked for. */
  #start(): WorkerProcess {
    const { workspace, toolEnvironment, egressSocketPath } = this.#options
    const { prefix, ids } = this.#user
    const args = ['worker', workspace, ...(egressSocketPath ? [egressSocketPath] : [])]
    const [command = '', ...rest] = [...prefix, process.execPath, this.#script, ...args]
    // Its environment holds no secret, because the agent's holds none.
    const child = spawn(command, rest, {
      cwd: '/',
      stdio: ['pipe', 'pipe', 'inherit'],
      ...ids,
    })
    child.on('error', (error) => this.#lost(child, notStarted(error)))
    child.once('exit', (code, signal) => this.#lost(child, `it ended with ${signal ?? code}`))
    child.stdin.on('error', () => {}) // A worker that is gone is reported by its exit.
    if (toolEnvironment) send(child, { type: 'environment', variables: toolEnvironment })
    void this.#readAnswers(child)
    return child
  }

  async #readAnswers(child: WorkerProcess): Promise<void> {
    try {
      for await (const line of readLines(child.stdout, MAX_WORKER_LINE_BYTES)) {
        const answer = parseAnswer(line)
        if (answer.type === 'output') this.#waiting.get(answer.id)?.onOutput(answer.text)
        else this.#settle(answer.id, this.#bounded(answer.result))
      }
    } catch {
      // Whatever it wrote was no answer; it is stopped, and its exit is reported.
      child.kill('SIGKILL')
    }
  }

  /** The worker sees to it; but it may not be the worker that has written this. */
  #bounded({ output, summary, ...rest }: ToolResult): ToolResult {
    const most = this.#options.limits.toolOutputBytes + HEAD_BYTES
    return { ...rest, output: clip(output, most), summary: clip(summary, HEAD_BYTES) }
  }

  #lost(child: WorkerProcess, how: string): void {
    if (this.#process !== child) return
    this.#process = undefined
    for (const id of [...this.#waiting.keys()]) this.#settle(id, lostResult(how))
  }

  #settle(id: number, result: ToolResult): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    waiting?.onResult(result)
  }
}

function send(child: WorkerProcess, line: WorkerLine): void {
  child.stdin.write(`${JSON.stringify(line)}\n`)
}

/**
 * Checked though the worker is ours: a tool, which runs as the same user, can write to its stdout.
 * @throws Error when `line` is no answer.
 */
function parseAnswer(
  line: string,
):
  | { type: 'output'; id: number; text: string }
  | { type: 'result'; id: number; result: ToolResult } {
  const answer = JSON.parse(line) as WorkerAnswer
  if (answer.type === 'output') {
    const { type, id, text } = answer
    if (typeof text !== 'string' || text.length > MAX_TEXT_CHARS) throw new Error('not an output')
    return { type, id, text }
  }
  const { type, id, ok, output, images, summary } = answer
  if (
    type !== 'result' ||
    typeof ok !== 'boolean' ||
    typeof output !== 'string' ||
    typeof summary !== 'string' ||
    !(images === undefined || areImages(images))
  ) {
    throw new Error('not an answer')
  }
  return { type, id, result: { ok, output, summary, ...(images ? { images } : {}) } }
}

/** Nothing but data URLs: the service itself would fetch what another one names. */
function areImages(value: unknown): boolean {
  if (!Array.isArray(value)) return false
  const areData = value.every((url) => typeof url === 'string' && IMAGE_URL.test(url))
  return areData && value.reduce((sum, { length }) => sum + length, 0) <= MAX_IMAGE_CHARS
}

function notStarted(error: unknown): string {
  return `could not be started: ${messageOf(error)}`
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

function notStartedResult(error: unknown): ToolResult {
  return {
    ok: false,
    output: `error: this was not carried out: the process that runs the tools ${notStarted(error)}`,
    summary: 'the tool process could not be started',
  }
}
