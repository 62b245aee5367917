import { type ChildProcess, spawn } from 'node:child_process'
import { ClippedOutput } from './clipped-output.ts'
import { notExact } from './exact-text.ts'
import { ToolError } from './tool.ts'

/** How long output may still come in after the shell has exited. */
const DRAIN_MS = 250

/** Input that a command may leave unread before it is given no more. */
const MAX_UNREAD_BYTES = 1024 * 1024

/**
 * Of two pipes nothing says what was written first. Node cannot give a process one for both, so a first shell does, which
 * becomes the second. `-p`: it does nothing else, such as reading BASH_ENV, and passes on all of its environment.
 */
const ONE_STREAM = ['-p', '-c', 'exec bash "$@" 2>&1', 'bash']

export interface CommandOptions {
  cwd: string
  environment: Readonly<NodeJS.ProcessEnv>
  /** Whether it can be sent input; otherwise its input is at its end from the start. */
  openStdin: boolean
  /** It is killed after that long. */
  timeoutMs: number
  /** What is kept of its output between two looks at it. */
  outputBytes: number
  /** Aborted to kill it. */
  signal: AbortSignal
  /** Called when it has ended. */
  cleanUp(): Promise<void>
  /** What it is called when a person is told of it. */
  title: string
}

type Stopper = 'timeout' | 'abort' | 'request'
type End = { code: number | null; signal: NodeJS.Signals | null; stoppedBy?: Stopper }

/** A shell with everything it starts, which ends with it. It may live longer than the call it is from. */
export class Command {
  readonly #child: ChildProcess
  readonly #options: CommandOptions
  readonly #startedAt = performance.now()
  readonly #ended: Promise<void>
  readonly #watchers = new Set<(chunk: Buffer) => void>()
  #output: ClippedOutput
  #stoppedBy: Stopper | undefined
  #end: End | undefined

  constructor(bashArgs: readonly string[], options: CommandOptions) {
    this.#options = options
    this.#output = new ClippedOutput(options.outputBytes)
    // `detached` makes the shell the leader of a process group of its own, which can be killed whole.
    this.#child = spawn('bash', [...ONE_STREAM, ...bashArgs], {
      cwd: options.cwd,
      detached: true,
      // Node's pipe is a socket. A first shell on one believes that it was started over a network, and
      // runs the ~/.bashrc before the command.
      env: { ...options.environment, SHLVL: '1' },
      stdio: [options.openStdin ? 'pipe' : 'ignore', 'pipe', 'ignore'],
    })
    // A command that does not read its input to the end is no failure.
    this.#child.stdin?.on('error', () => {})
    this.#child.stdout?.on('data', (chunk: Buffer) => this.#take(chunk))
    this.#ended = this.#untilEnd().finally(() => options.cleanUp())
  }

  get hasEnded(): boolean {
    return this.#end !== undefined
  }

  get title(): string {
    return this.#options.title
  }

  /** Of the shell, which leads a session (setsid(2)) of its own; undefined once that is to end, or has. */
  get pid(): number | undefined {
    const { pid, exitCode, signalCode } = this.#child
    return this.#stoppedBy || exitCode !== null || signalCode !== null ? undefined : pid
  }

  /** Resolves when it has ended, at the latest after `ms`. Rejects when it could not be started. */
  async wait(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const elapsed = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms)
    })
    await Promise.race([this.#ended, elapsed]).finally(() => clearTimeout(timer))
  }

  /** Passes on what has come since it was looked at last, and what comes, until the returned is called. */
  watch(watcher: (chunk: Buffer) => void): () => void {
    if (this.#output.totalBytes > 0) watcher(Buffer.from(this.#output.toString()))
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  /**
   * Sends `chars` as input; Ctrl-C alone and, at the end, Ctrl-D do what they do at a terminal.
   * @throws ToolError when it takes no input.
   */
  write(chars: string): void {
    if (this.hasEnded) return
    if (chars === '\u0003') {
      this.#signalGroup('SIGINT')
      return
    }
    const { stdin } = this.#child
    if (!stdin?.writable) {
      throw new ToolError('The input of this command is closed; open_stdin of bash keeps it open.')
    }
    if (stdin.writableLength + Buffer.byteLength(chars) > MAX_UNREAD_BYTES) {
      throw new ToolError('The command has not read the input it was sent before.')
    }
    const endsInput = chars.endsWith('\u0004')
    stdin.write(endsInput ? chars.slice(0, -1) : chars)
    if (endsInput) stdin.end()
  }

  stop(by: Stopper): void {
    if (this.hasEnded) return
    this.#stoppedBy ??= by
    this.#signalGroup('SIGKILL')
  }

  /** Takes out what has come since the last time; only its head and its tail if it is long. */
  takeOutput(): string {
    const output = this.#output
    this.#output = new ClippedOutput(this.#options.outputBytes)
    // The rest of a character may be still to come.
    if (!this.hasEnded) this.#output.push(output.takeUnfinished())
    return output.isExact ? output.toString() : `${output}\n${notExact('this output')}`
  }

  get seconds(): string {
    return ((performance.now() - this.#startedAt) / 1000).toFixed(2)
  }

  /** Undefined while it runs. */
  get outcome(): { ok: boolean; text: string } | undefined {
    if (!this.#end) return undefined
    const { code, stoppedBy } = this.#end
    return { ok: code === 0 || stoppedBy === 'request', text: this.#describe(this.#end) }
  }

  #describe({ code, signal, stoppedBy }: End): string {
    if (stoppedBy === 'timeout') {
      return `killed: still running after ${this.#options.timeoutMs / 1000} s`
    }
    if (stoppedBy === 'abort') return 'killed: the run was interrupted'
    if (stoppedBy === 'request') return 'killed: as asked'
    return signal ? `killed by ${signal}` : `exit code: ${code}`
  }

  #take(chunk: Buffer): void {
    this.#output.push(chunk)
    for (const watcher of this.#watchers) watcher(chunk)
  }

  /** Resolves when the shell has exited, whatever its children still hold open; they are killed. */
  #untilEnd(): Promise<void> {
    const child = this.#child
    const { timeoutMs, signal } = this.#options
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.stop('timeout'), timeoutMs)
      const onAbort = () => this.stop('abort')
      signal.addEventListener('abort', onAbort, { once: true })
      if (signal.aborted) onAbort()

      const settle = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
      }
      child.once('error', (error) => {
        settle()
        reject(error)
      })
      child.once('exit', (code, exitSignal) => {
        settle()
        this.#signalGroup('SIGKILL')
        const done = () => {
          clearTimeout(drained)
          // A process that left the group may hold the pipes for ever; nobody waits for it.
          child.stdin?.destroy()
          child.stdout?.destroy()
          const stoppedBy = this.#stoppedBy
          this.#end = { code, signal: exitSignal, ...(stoppedBy ? { stoppedBy } : {}) }
          resolve()
        }
        const drained = setTimeout(done, DRAIN_MS)
        child.once('close', done)
      })
    })
  }

  #signalGroup(signal: NodeJS.Signals): void {
    if (this.#child.pid === undefined) return
    try {
      process.kill(-this.#child.pid, signal)
    } catch {
      // Nobody is left in the group, which is what was wanted.
    }
  }
}
