import { assistantText } from '../../shared/assistant-text.ts'
import { CodexboxError, messageOf } from '../../shared/errors.ts'
import { NO_USAGE } from '../../shared/no-usage.ts'
import type { EventBody, FinishedEvent, HostLine, RunEvent } from '../../shared/protocol.ts'
import { PROTOCOL_VERSION } from '../../shared/protocol-version.ts'

/** The terminal event, not numbered yet. */
export type Finished = Extract<EventBody, { type: 'finished' }>

/** How a run ended: the terminal event, and the model's last words. */
export type RunResult = FinishedEvent & { text: string }

/** How long an interrupted run may take to end by itself. */
const INTERRUPT_MS = 5000

/** Of what a reader has not taken yet, so much of progress is held, in bytes; more is left out. */
export const MAX_UNREAD_PROGRESS_BYTES = 4 * 1024 * 1024

/** Far more than a refusal has. */
const MAX_PIECES_CHARS = 64 * 1024

/** What an event costs besides its text, roughly. */
const EVENT_BYTES = 500

export interface RunOptions {
  /**
   * Whether the container goes when the run is over, and background commands with it, instead of waiting for
   * the next run, which gets a new one then. Default: no.
   */
  oneShot?: boolean
}

/** What a run can do to the process it runs in. */
export interface RunControl {
  send(line: HostLine): void
  /** Ends the process at once. */
  kill(): void
}

/**
 * One prompt and everything that came of it. Iterate over it for the events as they come, or await
 * `result`; both may be done, and neither has to be: the run goes on by itself. Ends with exactly one
 * `finished` event, whatever happens; it never throws. Where a reader stays far behind, or away, what
 * only shows progress is left out.
 */
export class Run implements AsyncIterable<RunEvent> {
  readonly id: string
  readonly isOneShot: boolean
  readonly result: Promise<RunResult>
  // Holds what the reader has not taken yet; a reader that never comes must not stop the run.
  readonly #unread: RunEvent[] = []
  #unreadProgressBytes = 0
  readonly #waiting: (() => void)[] = []
  readonly #startedAt = performance.now()
  #resolve!: (result: RunResult) => void
  #control: RunControl | undefined
  /** What was said to the model, for a process that is still to come. */
  readonly #said: HostLine[] = []
  #seq = 0
  #text = ''
  /** Of a message whose item has not come. */
  #pieces = ''
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

  /** Tells the model something while it works; it reads it at the next tool boundary. */
  message(text: string): void {
    const line: HostLine = { type: 'message', text }
    this.#said.push(line)
    this.#control?.send(line)
  }

  /** Ends the run with `interrupted`: in good order within seconds, or else by force. */
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

  /** The model's last words so far. */
  get text(): string {
    return this.#text
  }

  // ---- for the conversation that drives the run ----

  /** Has `act` called at each interruption that is still to come. Returns how to end that. */
  whenStopped(act: () => void): () => void {
    this.#stopListeners.add(act)
    return () => this.#stopListeners.delete(act)
  }

  /** To a process that has been given the run. Another takes its place where it has not begun with it. */
  attach(control: RunControl): void {
    this.#control = control
    if (this.#stopped) control.kill()
    for (const line of this.#said) control.send(line)
  }

  /** Hands an event on, numbered anew: some events are the host's own. */
  emit(body: EventBody): void {
    const progress = progressBytes(body)
    if (progress > 0 && this.#unreadProgressBytes + progress > MAX_UNREAD_PROGRESS_BYTES) return
    this.#unreadProgressBytes += progress
    const head = { v: PROTOCOL_VERSION, seq: ++this.#seq, runId: this.id } as const
    // Not by spreading: in a flood the engine takes such objects for lasting, and collects them late.
    const event: RunEvent = Object.assign({}, head, body)
    this.#read(event)
    if (event.type === 'finished') {
      this.#finished = true
      this.#resolve({ ...event, text: this.#text })
    }
    this.#unread.push(event)
    for (const wake of this.#waiting.splice(0)) wake()
  }

  /** A message is an item as well; a refusal may come in pieces alone. */
  #read(event: RunEvent): void {
    if (event.type === 'text.delta') {
      // An agent that is not ours could go on for ever.
      if (this.#pieces.length < MAX_PIECES_CHARS) this.#pieces += event.text
    } else if (event.type === 'item') {
      this.#text = assistantText(event.item) ?? this.#text
      this.#pieces = ''
    } else if (event.type === 'retry') this.#pieces = ''
    else if (event.type === 'finished' && event.status === 'done' && this.#pieces !== '') {
      this.#text = this.#pieces
    }
  }

  /** The terminal event of a run whose container could not say it: a failure, unless it was stopped. */
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

/** Whether an event is for those who watch; what has come of it is in an `item`. */
export function isProgress(
  event: EventBody,
): event is Extract<EventBody, { type: 'text.delta' | 'reasoning.delta' | 'tool.output' }> {
  const { type } = event
  return type === 'text.delta' || type === 'reasoning.delta' || type === 'tool.output'
}

/** 0 for what is not to be left out. */
function progressBytes(event: EventBody): number {
  return isProgress(event) ? EVENT_BYTES + 2 * event.text.length : 0
}
