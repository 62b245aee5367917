import { assistantText } from '../../shared/assistant-text.ts'
import { CodexboxError, messageOf } from '../../shared/errors.ts'
import { NO_USAGE } from '../../shared/no-usage.ts'
import type { EventBody, FinishedEvent, HostLine, RunEvent } from '../../shared/protocol.ts'
import { PROTOCOL_VERSION } from '../../shared/protocol-version.ts'

/** The terminal event, without its sequence number. */
export type Finished = Extract<EventBody, { type: 'finished' }>

/** The outcome of a run: the terminal event, and the model's last message. */
export type RunResult = FinishedEvent & { text: string }

/** How long an interrupted run may take to end before it is killed. */
const INTERRUPT_MS = 5000

/** Progress events that a slow reader may have queued, in bytes; further ones are dropped. */
export const MAX_UNREAD_PROGRESS_BYTES = 4 * 1024 * 1024

/** Far longer than a refusal. */
const MAX_DELTA_CHARS = 64 * 1024

/** The approximate memory of an event besides its text. */
const EVENT_BYTES = 500

export interface RunOptions {
  /**
   * Whether the container and background commands end with the run, instead of waiting for the next run,
   * which then gets a new container. Default: no.
   */
  oneShot?: boolean
}

/** A run's control over its agent. */
export interface RunControl {
  send(line: HostLine): void
  /** Ends the process at once. */
  kill(): void
}

/**
 * One prompt and its events. Iterate over the run for the events as they arrive, or await `result`;
 * both are possible and neither is needed: the run goes on by itself. Always ends with exactly one
 * `finished` event and never throws. A slow or absent reader loses progress events.
 */
export class Run implements AsyncIterable<RunEvent> {
  readonly id: string
  readonly isOneShot: boolean
  readonly result: Promise<RunResult>
  // Queues events for the reader; an absent reader must not stop the run.
  readonly #unread: RunEvent[] = []
  #unreadProgressBytes = 0
  readonly #waiting: (() => void)[] = []
  readonly #startedAt = performance.now()
  #resolve!: (result: RunResult) => void
  #control: RunControl | undefined
  /** The messages to the model, for an agent that attaches later. */
  readonly #messages: HostLine[] = []
  #seq = 0
  #text = ''
  /** Text deltas of a message whose item has not arrived. */
  #deltas = ''
  #finished = false
  #stopped: 'interrupted' | undefined
  readonly #stopListeners = new Set<() => void>()

  constructor(id: string, { oneShot = false }: RunOptions = {}) {
    this.id = id
    this.isOneShot = oneShot
    this.result = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<RunEvent, undefined> {
    for (;;) {
      const event = this.#unread.shift()
      if (event) {
        this.#unreadProgressBytes -= progressBytes(event)
        yield event
      } else if (this.#finished) {
        return undefined
      } else {
        await new Promise<void>((resolve) => this.#waiting.push(resolve))
      }
    }
  }

  /** Sends a message to the working model, which reads it at the next tool boundary. */
  message(text: string): void {
    const line: HostLine = { type: 'message', text }
    this.#messages.push(line)
    this.#control?.send(line)
  }

  /** Ends the run with `interrupted`: gracefully within seconds, or else by force. */
  interrupt(): void {
    this.#stopped = 'interrupted'
    this.#control?.send({ type: 'interrupt' })
    for (const act of this.#stopListeners) act()
    setTimeout(() => this.kill(), INTERRUPT_MS).unref()
  }

  /** Ends the run and its process at once. */
  kill(): void {
    this.#stopped = 'interrupted'
    if (!this.#finished) this.#control?.kill()
    for (const act of this.#stopListeners) act()
  }

  /** The model's last message so far. */
  get text(): string {
    return this.#text
  }

  // ---- for the conversation that drives the run ----

  /** Calls `act` at each later interruption. Returns the unsubscribe function. */
  whenStopped(act: () => void): () => void {
    this.#stopListeners.add(act)
    return () => this.#stopListeners.delete(act)
  }

  /** Attaches the run to an agent. A second one replaces an agent that has not begun the run. */
  attach(control: RunControl): void {
    this.#control = control
    if (this.#stopped) control.kill()
    for (const line of this.#messages) control.send(line)
  }

  /** Queues an event with a new sequence number: some events are the host's own. */
  emit(body: EventBody): void {
    const progress = progressBytes(body)
    if (progress > 0 && this.#unreadProgressBytes + progress > MAX_UNREAD_PROGRESS_BYTES) return
    this.#unreadProgressBytes += progress
    const head = { v: PROTOCOL_VERSION, seq: ++this.#seq, runId: this.id } as const
    // Not a spread: in a flood of events V8 pretenures such objects, and collects them late.
    const event: RunEvent = Object.assign({}, head, body)
    this.#read(event)
    if (event.type === 'finished') {
      this.#finished = true
      this.#resolve({ ...event, text: this.#text })
    }
    this.#unread.push(event)
    for (const wake of this.#waiting.splice(0)) wake()
  }

  /** A message also arrives as an item; a refusal may arrive only as deltas. */
  #read(event: RunEvent): void {
    if (event.type === 'text.delta') {
      // A compromised agent could send deltas without end.
      if (this.#deltas.length < MAX_DELTA_CHARS) this.#deltas += event.text
    } else if (event.type === 'item') {
      this.#text = assistantText(event.item) ?? this.#text
      this.#deltas = ''
    } else if (event.type === 'retry') this.#deltas = ''
    else if (event.type === 'finished' && event.status === 'done' && this.#deltas !== '') {
      this.#text = this.#deltas
    }
  }

  /** The terminal event for a run whose container sent none: a failure, unless it was stopped. */
  failure(error: unknown): Finished {
    const { code, message } =
      error instanceof CodexboxError ? error : { code: 'internal', message: messageOf(error) }
    return {
      type: 'finished',
      ...(this.#stopped
        ? { status: this.#stopped }
        : { status: 'failed', error: { code, message } }),
      usage: NO_USAGE,
      turns: 0,
      toolCalls: 0,
      durationMs: Math.round(performance.now() - this.#startedAt),
    }
  }
}

/** Whether an event only shows progress; an `item` has the result. */
export function isProgress(
  event: EventBody,
): event is Extract<EventBody, { type: 'text.delta' | 'reasoning.delta' | 'tool.output' }> {
  const { type } = event
  return type === 'text.delta' || type === 'reasoning.delta' || type === 'tool.output'
}

/** 0 for an event that must not be dropped. */
function progressBytes(event: EventBody): number {
  return isProgress(event) ? EVENT_BYTES + 2 * event.text.length : 0
}
