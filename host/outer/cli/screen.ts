import type { WriteStream } from 'node:tty'
import { styleText } from 'node:util'
import { assistantText } from '../../../shared/assistant-text.ts'
import type { RunEvent } from '../../../shared/protocol.ts'
import { oneLine, visible } from '../../../shared/visible-text.ts'
import type { AutorunChanges } from '../../runs/workspace-watch.ts'
import { takesEscapes } from '../../terminal.ts'
import { autorunLines } from './autorun-lines.ts'
import { seconds, short, totals } from './format-counts.ts'
import { Spinner } from './spinner.ts'

type Style = Parameters<typeof styleText>[0]

/**
 * Shows runs to the user. On a terminal the model's messages stream to stdout, and everything else goes to stderr.
 * Elsewhere stdout gets only the answer: the last message of a run that is done, byte for byte, and a line end.
 * Earlier messages go to stderr. Colour and movement appear only on a terminal that supports escapes.
 */
export class Screen {
  readonly #stdout: WriteStream
  readonly #stderr: WriteStream
  readonly #spinner: Spinner | undefined
  readonly #tools = new Map<string, string>()
  #isInsideLine = false
  #hasShownText = false
  /** The last delta. */
  #lastDelta = ''
  /** When stdout is no terminal: the last message, perhaps incomplete, held back since it may be the answer. */
  #lastMessage = ''
  #isMessageComplete = false
  #reasoning = ''
  #lastOutput = ''

  constructor(stdout: WriteStream = process.stdout, stderr: WriteStream = process.stderr) {
    this.#stdout = stdout
    this.#stderr = stderr
    if (takesEscapes(stderr))
      this.#spinner = new Spinner(stderr, (text) => this.#style('dim', text))
  }

  /** A line about the run. */
  note(text: string, style: Style = 'dim'): void {
    this.#endLine()
    this.#stderr.write(`${this.#style(style, visible(text))}\n`)
  }

  error(text: string): void {
    this.note(text, 'red')
  }

  show(event: RunEvent): void {
    this.#spinner?.hide()
    switch (event.type) {
      case 'started':
        this.#reasoning = ''
        this.#lastMessage = ''
        break
      case 'text.delta':
        this.#writeDelta(event.text)
        return
      case 'reasoning.delta':
        this.#reasoning += event.text
        break
      case 'item':
        this.#finishItem(event.item)
        break
      case 'tool.started':
        this.#showLastMessage()
        this.#tools.set(event.callId, callLine(event.name, event.arguments))
        this.#lastOutput = ''
        break
      case 'tool.finished':
        this.#showTool(event)
        break
      case 'retry':
        this.#showLastMessage()
        this.note(`${event.reason.message} Trying again in ${seconds(event.delayMs)}.`, 'yellow')
        if (event.discardsText)
          this.note(
            'The answer since the last finished step is discarded and will come again.',
            'yellow',
          )
        break
      case 'notice':
        this.note(event.message, 'yellow')
        break
      case 'repair':
        this.note(`repaired: ${event.message}`, 'yellow')
        break
      case 'secrets.needed':
        this.note('The token was refused; getting a new one.', 'yellow')
        break
      case 'finished':
        this.#finish(event)
        return
      case 'tool.output':
        this.#lastOutput = event.text.trimEnd().split('\n').at(-1) || this.#lastOutput
        break
      case 'compacted':
        this.note(
          `The conversation was shortened: ${short(event.tokensBefore)} tokens are now ${short(event.tokensAfter)}.`,
        )
        break
      case 'planted':
        this.planted(event)
        break
      case 'usage':
        break
    }
    const output = this.#tools.size > 0 ? oneLine(this.#lastOutput, 100) : ''
    this.#spinner?.show(this.#activity(), output)
  }

  /** Lists files that may run commands later, one line for each kind. */
  planted(planted: AutorunChanges, when = 'in this run'): void {
    const { changed, unread } = autorunLines(planted)
    if (changed.length > 0) {
      this.note(`These files changed ${when} and can run commands on your machine later:`, 'yellow')
      for (const line of changed) this.note(`  ${line}`, 'yellow')
    }
    if (unread) {
      const what = 'What may run commands on your machine later was not all read'
      this.note(`${what}; look there yourself: ${unread}`, 'yellow')
    }
  }

  /** Hides the spinner; the next event shows it again. */
  still(): void {
    this.#spinner?.hide()
  }

  /** Shows a spinner with `text` as its label. */
  waiting(text: string, detail = ''): void {
    this.#spinner?.show(text, detail)
  }

  #writeDelta(text: string): void {
    this.#hasShownText = true
    if (!this.#stdout.isTTY) {
      if (this.#isMessageComplete) this.#showLastMessage()
      this.#lastMessage += text
      return
    }
    this.#isInsideLine = !text.endsWith('\n')
    this.#stdout.write(visible(text, this.#lastDelta))
    this.#lastDelta = text
  }

  #finishItem(item: Parameters<typeof assistantText>[0]): void {
    const text = assistantText(item)
    // Not every server sends deltas.
    if (text && !this.#hasShownText) this.#writeDelta(text)
    if (text !== undefined) {
      this.#endLine()
      // The item is authoritative; deltas may have been lost or discarded.
      this.#lastMessage = this.#stdout.isTTY ? '' : text
      this.#isMessageComplete = true
    }
    this.#hasShownText = false
    this.#reasoning = ''
  }

  #showTool(event: Extract<RunEvent, { type: 'tool.finished' }>): void {
    const mark = event.ok ? this.#style('green', '✓') : this.#style('red', '✗')
    const result = `${event.summary}, ${seconds(event.durationMs)}`
    const call = this.#tools.get(event.callId) ?? event.name
    this.#tools.delete(event.callId)
    const room = (this.#stderr.columns ?? 100) - 8
    const shown = oneLine(result, 60)
    this.#endLine()
    this.#stderr.write(
      `  ${mark} ${oneLine(call, Math.max(20, room - shown.length))}  ${this.#style('dim', shown)}\n`,
    )
  }

  /** On stderr, since it is not the answer. */
  #showLastMessage(): void {
    const message = this.#lastMessage
    this.#lastMessage = ''
    this.#isMessageComplete = false
    if (message !== '') this.#stderr.write(withLineEnd(visible(message)))
  }

  #answer(): void {
    const message = this.#lastMessage
    this.#lastMessage = ''
    if (message !== '') this.#stdout.write(withLineEnd(message))
  }

  #finish(event: Extract<RunEvent, { type: 'finished' }>): void {
    this.#endLine()
    if (event.status === 'done') this.#answer()
    else this.#showLastMessage()
    if (event.error) this.error(failureText(event.error))
    if (event.status === 'turn-limit') this.error('Stopped: the run used up all its turns.')
    this.note(totals(event))
  }

  /** The spinner's label: the running tools, else the heading of the model's reasoning, else "thinking". */
  #activity(): string {
    if (this.#tools.size > 0) return oneLine([...this.#tools.values()].join(' · '), 200)
    const heading = /\*\*([^*]+)\*\*(?!.*\*\*)/s.exec(this.#reasoning)?.[1]
    return heading ? oneLine(heading, 80) : 'thinking'
  }

  #endLine(): void {
    this.#spinner?.hide()
    if (this.#isInsideLine) this.#stdout.write('\n')
    this.#isInsideLine = false
  }

  #style(style: Style, text: string): string {
    return takesEscapes(this.#stderr) && !process.env.NO_COLOR ? styleText(style, text) : text
  }
}

const withLineEnd = (text: string) => (text.endsWith('\n') ? text : `${text}\n`)

/** A failure's message, with the local time at which the limit is lifted. */
function failureText({
  message,
  retryAt,
  resetsAt,
}: NonNullable<Extract<RunEvent, { type: 'finished' }>['error']>): string {
  const until = resetsAt ?? retryAt
  return until ? `${message} It is lifted at ${new Date(until).toLocaleString()}.` : message
}

/** A call in one line: its name and its main argument. */
function callLine(name: string, argumentsText: string): string {
  let args: Record<string, unknown> = {}
  try {
    args = JSON.parse(argumentsText) ?? {}
  } catch {
    // Shown as the model wrote it.
    return `${name}  ${argumentsText}`
  }
  return `${name}  ${args.command ?? args.path ?? ''}`
}
