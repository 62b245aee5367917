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

/** How long the agent may take to end a run that is out of time. */
const OVERDUE_MS = 30_000

/**
 * Events of a run that are kept, answered or handed on whoever reads: far more than a run has that is
 * within its limits, and no more than our memory and disk can take from an agent that is not ours.
 */
const maxEvents = (maxTurns: number) => 5_000 + 50 * maxTurns

/** The same for what these come to as text; a conversation has at most 64 MB, or it cannot be sent. */
const MAX_EVENT_CHARS = 256 * 1024 * 1024

/** How long an agent may take to leave when it is asked to. */
const LEAVE_MS = 5000

export interface DriveRunOptions {
  /** The line that begins the run. */
  line: (secrets: Secrets) => RunRequest | HostLine
  limits: Pick<RunLimits, 'runMs' | 'maxTurns'>
  /** Called once the agent is up; no tool is started before it has settled. */
  toolsMayStart: () => Promise<void>
  /**
   * Gets each event before the run hands it on; throwing ends the run. What it has to keep is on the
   * disk when it returns.
   */
  onEvent: (event: EventBody) => void
}

/** A running agent with the gateway that was opened for it. Serves one run after another. */
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

  /** An agent leaves by itself when it is idle for long. */
  get hasExited(): boolean {
    return this.#hasExited
  }

  get isNew(): boolean {
    return this.#runs === 0
  }

  /**
   * Has the agent do a run, with secrets that are good for this run only. Undefined: it was just
   * leaving, being idle, and has not read the line.
   * @throws CodexboxError when the container does not get to the end of the run
   */
  async driveRun(run: Run, options: DriveRunOptions): Promise<Finished | undefined> {
    const isFirst = this.isNew
    this.#runs++
    let secrets = await this.#secrets(run)
    this.#write(options.line(secrets))
    // Said so early, it has the agent end all that would outlive the run.
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

  /** `leave`: it is asked to go and given time for it; otherwise it is ended at once. */
  async stop(how: 'leave' | 'at-once'): Promise<void> {
    // An engine does not end what waits for somebody to read its output, which nobody does any more.
    if (how === 'leave') {
      this.agent.stdin.end(`${JSON.stringify({ type: 'close' })}\n`)
      void this.#readAway()
    } else {
      this.agent.stdout.destroy()
    }
    await this.agent.stop(how === 'leave' ? LEAVE_MS : 0)
    await this.gateway?.close()
  }

  async #readAway(): Promise<void> {
    try {
      for await (const _ of this.#events);
    } catch {
      // Whatever it says on its way out, the runs are over.
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
    // The agent keeps the limit itself, unless it is stuck or is not ours any more.
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
        if (body.type === 'finished') return this.#believable(body, run)
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
        // Rejects with the reason when there are none, which tells more than the service's refusal.
        if (body.type === 'secrets.needed') await renewSecrets()
      }
    } finally {
      clearTimeout(overdue)
    }
  }

  /** Answers of the model that the gateway has not seen did not come from the model. */
  #believable(end: Finished, run: Run): Finished {
    const account = this.gateway?.usageOf(run.id)
    if (account && end.turns > account.answers) {
      throw violation(`that the model answered ${end.turns} times, which it did not`)
    }
    return end
  }

  /** Sealed: a capability for this run. Direct: the real token. */
  async #secrets(run: Run, rejectedToken?: string): Promise<Secrets> {
    if (!this.gateway) return this.#connection.getSecrets(rejectedToken)
    // Renewed on the host already, if that could be; when it could not, this says why.
    if (rejectedToken) await this.#connection.getSecrets()
    return { CODEX_ACCESS_TOKEN: this.gateway.grant(run.id) }
  }

  #write(line: RunRequest | HostLine): void {
    this.agent.stdin.write(`${JSON.stringify(line)}\n`)
  }
}

/** The container's stdout ended before the terminal event. */
class OutputEndedError extends Error {
  /** Whether it had said anything about the run by then. */
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
