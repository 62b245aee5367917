import type { CodexboxError } from '../../../shared/errors.ts'
import { NO_USAGE } from '../../../shared/no-usage.ts'
import type { FinishedEvent, RunEvent } from '../../../shared/protocol.ts'
import { PROTOCOL_VERSION } from '../../../shared/protocol-version.ts'
import { failureOf } from '../../../shared/unforeseen.ts'
import { visible } from '../../../shared/visible-text.ts'
import { exitCodeOfError } from './exit-code.ts'
import { printJson } from './print.ts'

/** Whether a reader of JSON lines still waits for the one `finished` of a run. */
let isFinishedOwed = false

/** Of the last event that was printed. */
let last = { runId: 'none', seq: 0 }

/** From here on a failure is told as a `finished` event, until an event of that type is printed. */
export function oweFinished(): void {
  isFinishedOwed = true
}

/** Where the command line could not be read to its end, or not at all: by what it looks like. */
export function oweFinishedTo(argv: readonly string[]): void {
  const command = argv.slice(2).find((word) => COMMANDS.includes(word)) ?? 'run'
  if (command === 'run' && argv.includes('--json')) oweFinished()
}

/** Written again, since the program that knows them may be what cannot be loaded; a test compares. */
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
 * Tells what ended a command: as the `finished` event, where one is owed, otherwise as a sentence. Returns the exit code.
 */
export function tellFailure(error: unknown, say: (sentence: string) => void = plainly): number {
  const failure = failureOf(error)
  if (isFinishedOwed) printEvent(finishedEvent(failure))
  else say(failure.message)
  return exitCodeOfError(failure.code)
}

function plainly(sentence: string): void {
  process.stderr.write(`${visible(sentence)}\n`)
}

/** Of a run that could not be started, or that the host could not see to its end. */
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
