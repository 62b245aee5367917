import { type ChildProcess, spawn } from 'node:child_process'
import { ClippedOutput } from './clipped-output.ts'
import { notExact } from './exact-text.ts'
import { ToolError } from './tool.ts'

/** How long output may still arrive after the shell has exited. */
const DRAIN_MS = 250

/** Unread input of a command above which further input is refused. */
const MAX_UNREAD_BYTES = 1024 * 1024

/**
 * Two pipes lose the order of stdout and stderr. Node cannot give a process one pipe for both, so a first shell does,
 * and execs the second. `-p`: the first shell does nothing else, such as reading BASH_ENV, and passes on its
 * environment.
 */
const ONE_STREAM = ['-p', '-c', 'exec bash "$@" 2>&1', 'bash']

export interface CommandOptions {
  cwd: string
  environment: Readonly<NodeJS.ProcessEnv>
  /** Whether `write` can send input; otherwise stdin is at its end from the start. */
  openStdin: boolean
  /** The command is killed after this time. */
  timeoutMs: number
  /** Limit of the output collected between two calls of `takeOutput`. */
  outputBytes: number
  /** Aborted to kill the command. */
  signal: AbortSignal
  /** Called when the command has ended. */
  cleanUp(): Promise<void>
  /** Its name in notices for the user. */
  title: string
}

type Stopper = 'timeout' | 'abort' | 'request'
type End = { code: number | null; signal: NodeJS.Signals | null; stoppedBy?: Stopper }

/** A shell with its process group, which ends with it. It may outlive the call that started it. */
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
    // `detached` makes the shell the leader of its own process group, so that the group can be killed.
    this.#child = spawn('bash', [...ONE_STREAM, ...bashArgs], {
      cwd: options.cwd,
      detached: true,
      // Node's pipe is a socket. Without SHLVL, bash on a socket takes itself for a network shell, and
      // runs the ~/.bashrc before the command.
      env: { ...options.environment, SHLVL: '1' },
      stdio: [options.openStdin ? 'pipe' : 'ignore', 'pipe', 'ignore'],
    })
    // A command need not read its input to the end.
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

  /** Of the shell, which leads its own session (setsid(2)); undefined once it was stopped or has exited. */
  get pid(): number | undefined {
    const { pid, exitCode, signalCode } = this.#child
    return this.#stoppedBy || exitCode !== null || signalCode !== null ? undefined : pid
  }

  /** Resolves when the command has ended, at the latest after `ms`. Rejects when it could not be started. */
  async wait(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const elapsed = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms)
    })
    await Promise.race([this.#ended, elapsed]).finally(() => clearTimeout(timer))
  }

  /** Passes on the output since the last `takeOutput`, and later output until the returned function is called. */
  watch(watcher: (chunk: Buffer) => void): () => void {
    if (this.#output.totalBytes > 0) watcher(Buffer.from(this.#output.toString()))
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  /**
   * Sends `chars` as input; Ctrl-C alone and, at the end, Ctrl-D act as at a terminal.
   * @throws ToolError when the command takes no input.
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

  /** Removes and returns the output since the last call; of a long one only the head and the tail. */
  takeOutput(): string {
    const output = this.#output
    this.#output = new ClippedOutput(this.#options.outputBytes)
    // The rest of a character may still arrive.
    if (!this.hasEnded) this.#output.push(output.takeUnfinished())
    return output.isExact ? output.toString() : `${output}\n${notExact('this output')}`
  }

  get seconds(): string {
    return ((performance.now() - this.#startedAt) / 1000).toFixed(2)
  }

  /** Undefined while the command runs. */
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

  /** Resolves when the shell has exited, even if children hold its pipes open; they are killed. */
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
          // A process that left the group may hold the pipes for ever: do not wait for it.
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
      // The group is already empty.
    }
  }
}
