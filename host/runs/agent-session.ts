import { CodexboxError } from '../../shared/errors.ts'
import type { EventBody, HostLine, RunEvent, RunLimits, RunRequest } from '../../shared/protocol.ts'
import type { Secrets } from '../../shared/secrets.ts'
import { containerLost } from '../engine/container-lost.ts'
import type { AgentProcess } from '../engine/engine.ts'
import type { Gateway } from '../gateway/gateway.ts'
import type { ModelConnection } from '../providers/provider.ts'
import { isCall } from './history.ts'
import { readEvents } from './read-events.ts'
import { type Finished, isProgress, type Run } from './run.ts'

/** How long the agent may take to end a run after its time limit. */
const OVERDUE_MS = 30_000

/**
 * The limit on events of a run besides progress: far above a run within its limits, and within the
 * host's memory and disk for a compromised agent.
 */
const maxEvents = (maxTurns: number) => 5_000 + 50 * maxTurns

/** The same limit on their text; a sendable conversation has at most 64 MB. */
const MAX_EVENT_CHARS = 256 * 1024 * 1024

/** How long an agent may take to exit on request. */
const EXIT_GRACE_MS = 5000

export interface DriveRunOptions {
  /** The first line of the run. */
  line: (secrets: Secrets) => RunRequest | HostLine
  limits: Pick<RunLimits, 'runMs' | 'maxTurns'>
  /** Called once the agent is up; no tool starts before it settles. */
  toolsMayStart: () => Promise<void>
  /**
   * Gets each event before the run emits it; throwing ends the run. Must persist to disk before it
   * returns.
   */
  onEvent: (event: EventBody) => void
}

/** A running agent with its gateway. Serves one run after another. */
export class AgentSession {
  readonly agent: AgentProcess
  /** Absent in direct mode. */
  readonly gateway: Gateway | undefined
  readonly #connection: ModelConnection
  readonly #events: AsyncGenerator<RunEvent>
  #runs = 0
  #hasExited = false

  constructor(agent: AgentProcess, gateway: Gateway | undefined, connection: ModelConnection) {
    this.agent = agent
    this.gateway = gateway
    this.#connection = connection
    this.#events = readEvents(agent.stdout)
    void agent.exited.then(() => {
      this.#hasExited = true
    })
  }

  /** An idle agent exits by itself after a while. */
  get hasExited(): boolean {
    return this.#hasExited
  }

  get isNew(): boolean {
    return this.#runs === 0
  }

  /**
   * Drives a run on the agent, with secrets for this run only. Undefined when the idle agent was just
   * exiting and has not read the line.
   * @throws CodexboxError when the container does not finish the run
   */
  async driveRun(run: Run, options: DriveRunOptions): Promise<Finished | undefined> {
    const isFirst = this.isNew
    this.#runs++
    let secrets = await this.#secrets(run)
    this.#write(options.line(secrets))
    // Sent this early, `close` makes the agent end background commands with the run.
    if (run.isOneShot) this.#write({ type: 'close' })
    run.attach({ send: (line) => this.#write(line), kill: () => void this.agent.stop(0) })
    try {
      return await this.#readToEnd(run, options, async () => {
        const renewed = await this.#secrets(run, secrets.CODEX_ACCESS_TOKEN)
        this.gateway?.revoke(secrets.CODEX_ACCESS_TOKEN)
        secrets = renewed
        this.#write({ type: 'secrets', secrets })
      })
    } catch (error) {
      if (!(error instanceof OutputEndedError)) throw error
      if (!isFirst && !error.hasBegun) return undefined
      throw containerLost(await this.agent.exited, this.agent.stderrTail())
    } finally {
      this.gateway?.revoke(secrets.CODEX_ACCESS_TOKEN)
    }
  }

  /** `leave` asks the agent to exit and waits; `at-once` kills it. */
  async stop(how: 'leave' | 'at-once'): Promise<void> {
    // An engine does not end a container whose output is blocked, so its output is drained or destroyed.
    if (how === 'leave') {
      this.agent.stdin.end(`${JSON.stringify({ type: 'close' })}\n`)
      void this.#drain()
    } else {
      this.agent.stdout.destroy()
    }
    await this.agent.stop(how === 'leave' ? EXIT_GRACE_MS : 0)
    await this.gateway?.close()
  }

  async #drain(): Promise<void> {
    try {
      for await (const _ of this.#events);
    } catch {
      // The runs are over, so invalid output no longer matters.
    }
  }

  async #readToEnd(
    run: Run,
    { limits: { runMs, maxTurns }, toolsMayStart, onEvent }: DriveRunOptions,
    renewSecrets: () => Promise<void>,
  ): Promise<Finished> {
    let hasBegun = false
    let mayStart: Promise<void> | undefined
    let events = 0
    let chars = 0
    let isOverdue = false
    // The agent enforces the limit itself, unless it hangs or is compromised.
    const overdue = setTimeout(() => {
      isOverdue = true
      void this.agent.stop(0)
    }, runMs + OVERDUE_MS)
    try {
      for (;;) {
        const { value: event, done } = await this.#events.next()
        if (isOverdue) throw overdueError(runMs)
        if (done) throw new OutputEndedError(hasBegun)
        if (event.runId !== run.id) throw violation(`an event of another run (${event.type})`)
        hasBegun = true
        const { v: _v, seq, runId: _runId, ...body } = event
        if (body.type === 'finished') return this.#checkTurns(body, run)
        if (!isProgress(body)) {
          events++
          chars += JSON.stringify(body).length
        }
        if (events > maxEvents(maxTurns)) {
          throw violation(`more than ${maxEvents(maxTurns)} events in one run`)
        }
        if (chars > MAX_EVENT_CHARS) {
          throw violation(`events of more than ${MAX_EVENT_CHARS / 1024 / 1024} MB in one run`)
        }
        onEvent(body)
        if (body.type === 'item' && isCall(body.item)) {
          mayStart ??= toolsMayStart()
          await mayStart
          this.#write({ type: 'kept', seq })
        }
        run.emit(body)
        mayStart ??= toolsMayStart()
        // Rejects with the reason when the renewal fails, which says more than the service's refusal.
        if (body.type === 'secrets.needed') await renewSecrets()
      }
    } finally {
      clearTimeout(overdue)
    }
  }

  /** The agent must not report more model answers than the gateway has seen. */
  #checkTurns(end: Finished, run: Run): Finished {
    const account = this.gateway?.usageOf(run.id)
    if (account && end.turns > account.answers) {
      throw violation(`that the model answered ${end.turns} times, which it did not`)
    }
    return end
  }

  /** Sealed: a capability for this run. Direct: the real token. */
  async #secrets(run: Run, rejectedToken?: string): Promise<Secrets> {
    if (!this.gateway) return this.#connection.getSecrets(rejectedToken)
    // The gateway has tried the renewal already; a failure rejects here with its reason.
    if (rejectedToken) await this.#connection.getSecrets()
    return { CODEX_ACCESS_TOKEN: this.gateway.grant(run.id) }
  }

  #write(line: RunRequest | HostLine): void {
    this.agent.stdin.write(`${JSON.stringify(line)}\n`)
  }
}

/** The container's stdout ended before the terminal event. */
class OutputEndedError extends Error {
  /** Whether it had written an event of the run by then. */
  readonly hasBegun: boolean

  constructor(hasBegun: boolean) {
    super()
    this.hasBegun = hasBegun
  }
}

function overdueError(runMs: number): CodexboxError {
  return new CodexboxError(
    'run-timeout',
    `The run did not end by itself after its ${runMs / 1000} s; its container was stopped.`,
  )
}

function violation(what: string): CodexboxError {
  return new CodexboxError('protocol-violation', `The container wrote ${what}; it was stopped.`)
}
