import type { CodexboxError } from '../../../shared/errors.ts'
import { NO_USAGE } from '../../../shared/no-usage.ts'
import type { FinishedEvent, RunEvent } from '../../../shared/protocol.ts'
import { PROTOCOL_VERSION } from '../../../shared/protocol-version.ts'
import { failureOf } from '../../../shared/unforeseen.ts'
import { visible } from '../../../shared/visible-text.ts'
import { exitCodeOfError } from './exit-code.ts'
import { printJson } from './print.ts'

/** Whether a reader of JSON lines still expects the run's `finished` event. */
let isFinishedOwed = false

/** Of the last printed event. */
let last = { runId: 'none', seq: 0 }

/** From now on `tellFailure` prints a `finished` event, unless the run has printed one. */
export function oweFinished(): void {
  isFinishedOwed = true
}

/** For a command line that could not be parsed: guesses from its words whether it asks for JSON. */
export function oweFinishedTo(argv: readonly string[]): void {
  const command = argv.slice(2).find((word) => COMMANDS.includes(word)) ?? 'run'
  if (command === 'run' && argv.includes('--json')) oweFinished()
}

/** A copy: the module that defines the commands may fail to load. A test compares the two. */
export const COMMANDS: readonly string[] = [
  ...['run', 'sessions', 'login', 'logout', 'status', 'models', 'usage', 'doctor', 'help'],
]

/** Prints an event as a JSON line on stdout. */
export function printEvent(event: RunEvent): void {
  if (event.type === 'finished') isFinishedOwed = false
  last = event
  printJson(event)
}

/**
 * Reports a failure: as the `finished` event if one is owed, otherwise as a sentence. Returns the exit code.
 */
export function tellFailure(
  error: unknown,
  print: (sentence: string) => void = printPlain,
): number {
  const failure = failureOf(error)
  if (isFinishedOwed) printEvent(finishedEvent(failure))
  else print(failure.message)
  return exitCodeOfError(failure.code)
}

function printPlain(sentence: string): void {
  process.stderr.write(`${visible(sentence)}\n`)
}

/** For a run that could not be started, or whose own `finished` never arrived. */
function finishedEvent(failure: CodexboxError & { resetsAt?: number | undefined }): FinishedEvent {
  const { code, message, resetsAt } = failure
  return {
    v: PROTOCOL_VERSION,
    seq: last.seq + 1,
    runId: last.runId,
    type: 'finished',
    status: 'failed',
    error: { code, message, ...(resetsAt ? { resetsAt } : {}) },
    usage: NO_USAGE,
    turns: 0,
    toolCalls: 0,
    durationMs: 0,
  }
}
