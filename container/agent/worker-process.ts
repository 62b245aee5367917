import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../../shared/errors.ts'
import type { RunRequest } from '../../shared/protocol.ts'
import { readLines } from '../../shared/read-lines.ts'
import { maxAnswerBytes } from '../worker/answer-bounds.ts'
import type { WorkerLine } from '../worker/worker.ts'
import type { ToolUser } from './tool-user.ts'
import { type CheckedAnswer, parseAnswer } from './worker-answer.ts'

export type WorkerOptions = Pick<
  RunRequest,
  'workspace' | 'worker' | 'toolEnvironment' | 'egressSocketPath' | 'limits'
>

/** Time a worker has to end what it runs. */
const STOP_MS = 1000

/** How much later than its end the last of its stderr may come. */
const LAST_WORDS_MS = 100

/** What is kept of its stderr. */
const MAX_WORDS = 2000

interface WorkerEvents {
  onAnswer(answer: CheckedAnswer): void
  /** Once. `how` says why, also where it could not be started; it never rejects. */
  onEnd(how: Promise<string>): void
}

/** One worker process, from its start to its end. */
export class WorkerProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>
  #isReady = false
  #words = ''

  /**
   * `script` is the container script, of which the worker is the other half.
   * @throws Error where spawn does, which is when it may not change to the user asked for
   */
  constructor(script: string, user: ToolUser, options: WorkerOptions, events: WorkerEvents) {
    const { workspace, toolEnvironment, egressSocketPath, limits } = options
    const { ids, prefix } = user
    const args = [workspace, egressSocketPath ?? '', ...(ids ? [`${ids.uid}`, `${ids.gid}`] : [])]
    const [command = '', ...rest] = [...prefix, process.execPath, script, 'worker', ...args]
    // Its environment holds no secret, because the agent's holds none.
    const child = spawn(command, rest, {
      cwd: '/',
      // Its stderr is not ours: who reads that takes it for the agent's word.
      stdio: ['pipe', 'pipe', 'pipe'],
      // Without a prefix it becomes that user by itself.
      ...(prefix.length > 0 ? ids : {}),
    })
    this.#child = child
    child.once('error', (error) => events.onEnd(Promise.resolve(messageOf(error))))
    child.once('exit', (code, signal) => events.onEnd(this.#lastWords(`${signal ?? code}`)))
    child.stdin.on('error', () => {}) // A worker that is gone is reported by its exit.
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#words = (this.#words + text).slice(-MAX_WORDS)
    })
    if (toolEnvironment) this.send({ type: 'environment', variables: toolEnvironment })
    void this.#readAnswers(maxAnswerBytes(limits), events)
  }

  /** Whether it has begun to serve; before that, it has done nothing. */
  get isReady(): boolean {
    return this.#isReady
  }

  send(line: WorkerLine): void {
    this.#child.stdin.write(`${JSON.stringify(line)}\n`)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  /** Ends it and what it runs. It does so itself when its stdin ends; a stuck one is killed. */
  async stop(): Promise<void> {
    const child = this.#child
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.stdin.end()
    const stuck = setTimeout(() => this.kill(), STOP_MS)
    await exited
    clearTimeout(stuck)
  }

  async #readAnswers(maxBytes: number, { onAnswer }: WorkerEvents): Promise<void> {
    try {
      for await (const line of readLines(this.#child.stdout, maxBytes)) {
        const answer = parseAnswer(line)
        this.#isReady ||= answer.type === 'ready'
        onAnswer(answer)
      }
    } catch {
      // Whatever it wrote was no answer; it is stopped, and its exit is reported.
      this.kill()
    }
  }

  async #lastWords(end: string): Promise<string> {
    const { stderr } = this.#child
    const closed = stderr.closed ? undefined : once(stderr, 'close')
    await Promise.race([closed, sleep(LAST_WORDS_MS, undefined, { ref: false })])
    const words = this.#words.trim()
    return `it ended with ${end}${words ? `, saying: ${words}` : ''}`
  }
}
