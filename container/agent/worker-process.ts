import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../../shared/errors.ts'
import type { RunRequest } from '../../shared/protocol.ts'
import { readLines } from '../../shared/read-lines.ts'
import { boundedResult, maxAnswerBytes } from '../worker/answer-bounds.ts'
import type { Session } from '../worker/sessions.ts'
import type { ToolResult } from '../worker/tool.ts'
import type { WorkerLine } from '../worker/worker.ts'
import { childrenOf } from './process-table.ts'
import type { ToolUser } from './tool-user.ts'
import { type CheckedAnswer, parseAnswer } from './worker-answer.ts'
import { lostResult, notStartedResult } from './worker-results.ts'

export type WorkerOptions = Pick<
  RunRequest,
  'workspace' | 'worker' | 'toolEnvironment' | 'gitConfig' | 'egressSocketPath' | 'limits'
>

/** How long a worker may take to answer after a tool's timeout or a cancel before it counts as stuck. */
const GRACE_MS = 5000

/** How long a worker may take to end its commands, and to exit once it was killed. */
const STOP_MS = 1000

/** How long an idle worker may take to answer. */
const ANSWER_MS = 1000

/** How long after its exit the last of its stderr may come. */
const STDERR_DRAIN_MS = 100

/** Of its stderr, in characters. */
const MAX_STDERR_CHARS = 2000

/**
 * Out of memory, the kernel kills the process with the highest score, or any process where none of them owns the
 * memory (memfd_create(2), shm): it should be the worker or a tool, not the agent. Set before the worker starts,
 * because the start needs memory, too.
 */
const ENDED_FIRST = ['sh', '-c', 'echo 1000 >/proc/self/oom_score_adj && exec "$0" "$@"']

interface Waiting {
  onOutput(text: string): void
  onResult(result: ToolResult): void
}

/** One worker process, from its start to its end, and the calls it is busy with. */
export class WorkerProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #limits: RunRequest['limits']
  readonly #onEnd: () => void
  readonly #waiting = new Map<number, Waiting>()
  #onSessions: (sessions: Session[] | undefined) => void = () => {}
  #lastId = 0
  /** Whether it has begun to serve; before that, no call was run. */
  #isReady = false
  #stderrTail = ''

  /**
   * `script`: the container script, which has the role `worker`. `onEnd` is called once, as soon as the process
   * has ended; the calls are answered later.
   * @throws Error where spawn does: it may not change to the requested user
   */
  constructor(script: string, user: ToolUser, options: WorkerOptions, onEnd: () => void) {
    const { workspace, toolEnvironment, gitConfig, egressSocketPath, limits } = options
    const { ids, prefix } = user
    const args = [workspace, egressSocketPath ?? '', ...(ids ? [`${ids.uid}`, `${ids.gid}`] : [])]
    const commandLine = [...prefix, process.execPath, script, 'worker', ...args]
    const [command = '', ...rest] = ids ? [...ENDED_FIRST, ...commandLine] : commandLine
    // Its environment holds no secret, because the agent's holds none.
    const child = spawn(command, rest, {
      cwd: '/',
      // Not the agent's stderr: a reader of that would take the worker's text for the agent's.
      stdio: ['pipe', 'pipe', 'pipe'],
      // Without a prefix the worker changes its user itself.
      ...(prefix.length > 0 ? ids : {}),
    })
    this.#child = child
    this.#limits = limits
    this.#onEnd = onEnd
    child.once('error', (error) => this.#ended(Promise.resolve(messageOf(error))))
    child.once('exit', (code, signal) => this.#ended(this.#endReason(`${signal ?? code}`)))
    child.stdin.on('error', () => {}) // The exit reports a worker that is gone.
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderrTail = (this.#stderrTail + text).slice(-MAX_STDERR_CHARS)
    })
    if (toolEnvironment) this.#send({ type: 'environment', variables: toolEnvironment })
    if (gitConfig) this.#send({ type: 'git-config', text: gitConfig })
    void this.#readAnswers()
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** See `WorkerClient`. */
  call(name: string, input: unknown, onOutput: (text: string) => void): Promise<ToolResult> {
    const limits = this.#limits
    const id = ++this.#lastId
    return new Promise((resolve) => {
      const deadline = setTimeout(() => this.kill(), limits.toolMs + GRACE_MS)
      const onResult = (result: ToolResult) => {
        clearTimeout(deadline)
        resolve(result)
      }
      this.#waiting.set(id, { onOutput, onResult })
      this.#send({ type: 'call', id, name, input, limits })
    })
  }

  /** See `WorkerClient`. */
  cancel(): void {
    const cancelled = [...this.#waiting.keys()]
    this.#send({ type: 'cancel' })
    const stuck = setTimeout(() => {
      if (cancelled.some((id) => this.#waiting.has(id))) this.kill()
    }, GRACE_MS)
    stuck.unref()
  }

  /** The commands that outlived their call. Undefined when it does not answer, or still runs calls. */
  async sessions(): Promise<Session[] | undefined> {
    if (this.#lastId === 0) return []
    if (this.#waiting.size > 0) return undefined
    return new Promise((resolve) => {
      const late = setTimeout(resolve, ANSWER_MS, undefined)
      this.#onSessions = (sessions) => {
        clearTimeout(late)
        resolve(sessions)
      }
      this.#send({ type: 'sessions' })
    })
  }

  /** Kills it and its commands: they lead process groups of their own, and would go on. */
  kill(): void {
    if (this.#hasEnded) return
    for (const pid of childrenIfKnown(this.pid)) signalGroup(pid)
    this.#child.kill('SIGKILL')
  }

  /** Ends it and its commands. It does so itself when its stdin ends; a stuck worker is killed. */
  async stop(): Promise<void> {
    if (this.#hasEnded) return
    const exited = once(this.#child, 'exit')
    this.#child.stdin.end()
    await Promise.race([exited, sleep(STOP_MS, undefined, { ref: false })])
    this.kill()
    await Promise.race([exited, sleep(STOP_MS, undefined, { ref: false })])
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  #send(line: WorkerLine): void {
    this.#child.stdin.write(`${JSON.stringify(line)}\n`)
  }

  async #readAnswers(): Promise<void> {
    try {
      for await (const line of readLines(this.#child.stdout, maxAnswerBytes(this.#limits))) {
        this.#take(parseAnswer(line))
      }
    } catch {
      // An invalid answer: kill the worker; its exit is reported.
      this.kill()
    }
  }

  #take(answer: CheckedAnswer): void {
    switch (answer.type) {
      case 'ready':
        this.#isReady = true
        break
      case 'output':
        this.#waiting.get(answer.id)?.onOutput(answer.text)
        break
      case 'result':
        // The worker bounds it too, but a tool may have written this line.
        this.#settle(answer.id, boundedResult(answer.result, this.#limits))
        break
      case 'sessions':
        this.#onSessions(answer.sessions)
        break
    }
  }

  #ended(reason: Promise<string>): void {
    this.#onSessions(undefined)
    this.#onEnd()
    const result = this.#isReady ? lostResult : notStartedResult
    void reason.then((why) => {
      for (const id of [...this.#waiting.keys()]) this.#settle(id, result(why))
    })
  }

  async #endReason(end: string): Promise<string> {
    const { stderr } = this.#child
    const closed = stderr.closed ? undefined : once(stderr, 'close')
    await Promise.race([closed, sleep(STDERR_DRAIN_MS, undefined, { ref: false })])
    const words = this.#stderrTail.trim()
    return `it ended with ${end}${words ? `, saying: ${words}` : ''}`
  }

  #settle(id: number, result: ToolResult): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    waiting?.onResult(result)
  }
}

function childrenIfKnown(pid: number | undefined): number[] {
  try {
    return pid === undefined ? [] : childrenOf(pid)
  } catch {
    return [] // Not Linux.
  }
}

function signalGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL')
  } catch {
    // The process is gone, or leads no group and ends with the worker's pipes.
  }
}
