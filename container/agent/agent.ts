import { CodexboxError, messageOf } from '../../shared/errors.ts'
import type { ProofRequest } from '../../shared/mount-report.ts'
import { NO_USAGE } from '../../shared/no-usage.ts'
import type { HostLine, RunRequest } from '../../shared/protocol.ts'
import { readLines } from '../../shared/read-lines.ts'
import type { Secrets } from '../../shared/secrets.ts'
import { checkWorkspace } from './check-workspace.ts'
import { type Emit, eventWriter } from './events.ts'
import { History } from './history.ts'
import { ModelClient } from './model-client.ts'
import { type MountQuestion, proofs } from './report-mounts.ts'
import { headItems } from './request-body.ts'
import { type LoopContext, type Outcome, runLoop } from './run-loop.ts'
import { parseHostLine, parseRunRequest } from './run-request.ts'
import { WorkerClient } from './worker-client.ts'

/** Room for a long history with images; a longer line is refused rather than held in memory. */
const MAX_LINE_BYTES = 256 * 1024 * 1024

/** How long the host may take to answer `secrets.needed`. */
const SECRETS_MS = 30_000

/** How long the first line may take. */
const FIRST_LINE_MS = 30_000

/**
 * The agent process: talks to the model, never runs a command. Serves one conversation from its first
 * line on stdin until the host sends `close`, the idle time is over, or stdin ends because the host is
 * gone. `mounts` are the mounts to prove first, if the host asks. Resolves with the exit code.
 */
export async function serveAgent(
  stdin: AsyncIterable<Buffer>,
  write: (line: string) => void,
  mounts?: MountQuestion,
): Promise<number> {
  let isOver = false
  const emitFor = eventWriter((line) => {
    if (!isOver) write(line)
  })
  const lines = readLines(stdin, MAX_LINE_BYTES)
  let runId = 'none'
  let agent: Agent | undefined
  try {
    let first = await firstLine(lines)
    const proofRequest = mounts && parseProofRequest(first)
    if (proofRequest) {
      write(`${JSON.stringify(proofs(proofRequest, mounts))}\n`)
      first = await firstLine(lines)
    }
    const request = parseRunRequest(first)
    runId = request.runId
    checkWorkspace(request.workspace)
    agent = new Agent(request, emitFor)
    process.once('SIGTERM', () => agent?.stop())
    return await agent.serve(lines)
  } catch (error) {
    const emit = emitFor(agent?.currentRunId ?? runId)
    const code = error instanceof CodexboxError ? error.code : 'request-invalid'
    try {
      agent?.endTools()
    } catch (stillRunning) {
      return exitCodeWithoutEnd(stillRunning)
    }
    emit(finishedEarly(code, messageOf(error)))
    // A run that is still ending must not write a second `finished`.
    isOver = true
    return 2
  } finally {
    await agent?.dispose()
  }
}

/** For the operator of a host that is not ours. */
const TOKEN_IN_REACH =
  'The tools run as the same user as the agent, so whatever they run can read the access token from its memory. ' +
  'To keep it from them, start the container as root and name a `worker` in the request, or give a token that ' +
  'is good for this run only.'

/** The fields that start a run. */
type RunStart = Pick<RunRequest, 'runId' | 'prompt' | 'images' | 'secrets'>

class Agent {
  readonly #context: LoopContext
  readonly #emitFor: (runId: string) => Emit
  readonly #firstRun: RunStart
  readonly #exited: Promise<number>
  #exitWith!: (exitCode: number) => void
  #idleTimer: NodeJS.Timeout | undefined
  readonly #acknowledgements = new Acknowledgements()
  /** Messages that came between two runs. */
  readonly #early: string[] = []
  #isClosing = false
  #current: CurrentRun | undefined

  constructor(request: RunRequest, emitFor: (runId: string) => Emit) {
    this.#firstRun = request
    this.#emitFor = emitFor
    this.#exited = new Promise((resolve) => {
      this.#exitWith = resolve
    })
    const history = new History(headItems(request), request.history)
    history.counted(request.historyTokens)
    this.#context = {
      request,
      history,
      client: new ModelClient(request),
      worker: new WorkerClient(request),
    }
  }

  get currentRunId(): string | undefined {
    return this.#current?.runId
  }

  async serve(lines: AsyncIterable<string>): Promise<number> {
    this.#start(this.#firstRun)
    return Promise.race([this.#read(lines), this.#exited])
  }

  /** Ends the run, if there is one, and then the process. */
  stop(): void {
    this.#isClosing = true
    if (this.#current) this.#interrupt()
    else this.#exitWith(0)
  }

  /** Ends the tools at once. @throws Error when one of their processes cannot be ended */
  endTools(): void {
    this.#context.worker.endAll()
  }

  async dispose(): Promise<void> {
    clearTimeout(this.#idleTimer)
    this.#context.client.close()
    await this.#context.worker.stop()
  }

  async #read(lines: AsyncIterable<string>): Promise<number> {
    for await (const line of lines) this.#take(parseHostLine(line))
    // The reader of our output is gone.
    return 0
  }

  #take(line: HostLine): void {
    switch (line.type) {
      case 'prompt':
        if (this.#current) throw new Error('a prompt came before the run before it had finished')
        this.#start(line)
        break
      case 'message':
        // A message that arrives just after the end of a run belongs to the next run.
        ;(this.#current?.messages ?? this.#early).push(line.text)
        break
      case 'interrupt':
        this.#interrupt()
        break
      case 'secrets':
        this.#current?.takeSecrets(line.secrets)
        break
      case 'kept':
        this.#acknowledgements.upTo(line.seq)
        break
      case 'close':
        this.#isClosing = true
        if (!this.#current) this.#exitWith(0)
        break
    }
  }

  #interrupt(): void {
    this.#current?.abort.abort()
    this.#context.worker.cancel()
  }

  #start(start: RunStart): void {
    clearTimeout(this.#idleTimer)
    const current = new CurrentRun(start.runId)
    current.messages.push(...this.#early.splice(0))
    this.#current = current
    // After the first request is sent, so that the worker starts while the model answers.
    setImmediate(() => this.#context.worker.prepare())
    void this.#run(current, start).then(() => {
      this.#current = undefined
      if (this.#isClosing) this.#exitWith(0)
      const { idleMs } = this.#context.request.limits
      this.#idleTimer = setTimeout(() => this.#exitWith(0), idleMs)
    })
  }

  async #run(current: CurrentRun, start: RunStart): Promise<void> {
    const { prompt, images, secrets } = start
    const { request, worker } = this.#context
    const emit = this.#emitFor(current.runId)
    const startedAt = performance.now()
    emit({ type: 'started', model: request.model, toolsIsolated: worker.isIsolated })
    // Our own host shows its own warning, and gives out a capability where it can.
    const isRealToken = request.endpoint.socketPath === undefined
    if (start === this.#firstRun && isRealToken && !worker.isIsolated) {
      emit({ type: 'notice', message: TOKEN_IN_REACH })
    }
    const end = await this.#withinTime(() =>
      runLoop(this.#context, {
        prompt,
        images,
        secrets,
        emit,
        signal: current.abort.signal,
        messages: current.messages,
        acknowledged: (seq) =>
          request.confirmsCalls
            ? this.#acknowledgements.reaches(seq, current.abort.signal)
            : Promise.resolve(),
        renewSecrets: (signal) => current.secretsWithin(SECRETS_MS, signal),
      }),
    )
    try {
      const messages = await worker.endRun({ isLast: this.#isClosing })
      for (const message of messages) emit({ type: 'notice', message })
    } catch (error) {
      this.#exitWith(exitCodeWithoutEnd(error))
      return
    }
    emit({ ...end, type: 'finished', durationMs: Math.round(performance.now() - startedAt) })
  }

  async #withinTime(run: () => Promise<Outcome>): Promise<Outcome> {
    const { runMs } = this.#context.request.limits
    let isOutOfTime = false
    const deadline = setTimeout(() => {
      isOutOfTime = true
      this.#interrupt()
    }, runMs)
    try {
      const outcome = await run()
      if (!isOutOfTime) return outcome
      const message = `The run was stopped after its ${runMs / 1000} s.`
      return { ...outcome, status: 'failed', error: { code: 'run-timeout', message } }
    } catch (error) {
      return finishedEarly('internal', `The agent failed: ${messageOf(error)}.`)
    } finally {
      clearTimeout(deadline)
    }
  }
}

/**
 * The exit code when processes of a run cannot be ended, so no `finished` is written: the container ends
 * with this process, and every process in it.
 */
function exitCodeWithoutEnd(error: unknown): number {
  console.error(messageOf(error))
  return 3
}

/** Up to which event the host has acknowledged ours. */
class Acknowledgements {
  #seq = 0
  readonly #waiting = new Set<() => void>()

  upTo(seq: number): void {
    this.#seq = Math.max(this.#seq, seq)
    for (const check of this.#waiting) check()
  }

  /** Rejects when `signal` is aborted first. */
  reaches(seq: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = () => {
        if (this.#seq < seq && !signal.aborted) return
        this.#waiting.delete(check)
        signal.removeEventListener('abort', check)
        if (this.#seq >= seq) resolve()
        else reject(new Error('interrupted'))
      }
      this.#waiting.add(check)
      signal.addEventListener('abort', check, { once: true })
      check()
    })
  }
}

/** The inputs of a run while it is running. */
class CurrentRun {
  readonly runId: string
  readonly abort = new AbortController()
  readonly messages: string[] = []
  takeSecrets: (secrets: Secrets) => void = () => {}

  constructor(runId: string) {
    this.runId = runId
  }

  secretsWithin(ms: number, signal: AbortSignal): Promise<Secrets> {
    return new Promise((resolve, reject) => {
      // Not AbortSignal.any with AbortSignal.timeout: the garbage collector of Node 20 takes those.
      const timer = setTimeout(reject, ms, new Error(`no secrets came within ${ms / 1000} s`))
      signal.addEventListener('abort', reject, { once: true })
      this.takeSecrets = (secrets) => {
        clearTimeout(timer)
        resolve(secrets)
      }
    })
  }
}

function finishedEarly(code: string, message: string) {
  return {
    type: 'finished',
    status: 'failed',
    error: { code, message },
    usage: NO_USAGE,
    turns: 0,
    toolCalls: 0,
    durationMs: 0,
  } as const
}

async function firstLine(lines: AsyncGenerator<string>): Promise<string> {
  const { value, done } = await within(FIRST_LINE_MS, lines.next())
  if (done) throw new Error('stdin ended before one whole line had come')
  return value
}

/** Undefined for any other line. A run request may be long, so it is not parsed twice. */
function parseProofRequest(line: string): ProofRequest | undefined {
  return line.startsWith('{"type":"prove"') ? (JSON.parse(line) as ProofRequest) : undefined
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came on stdin for ${ms / 1000} s`)), ms)
  })
  return Promise.race([promise, deadline]).finally(() => clearTimeout(timer))
}
