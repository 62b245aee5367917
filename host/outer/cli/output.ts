import { closeSync } from 'node:fs'
import { isatty } from 'node:tty'
import { systemCodeOf } from '../../../shared/errors.ts'

const lost = new AbortController()
let exitCode: number | undefined

/** Aborts when nothing more can be written to stdout: a run need not go on then. */
export const outputLost: AbortSignal = lost.signal

/** What this process has to end with where stdout could not be written. */
export const outputExitCode = (): number | undefined => exitCode

/** Watches stdout and stderr for the rest of this process. */
export function watchOutput(): void {
  process.stdout.on('error', (error) => {
    if (lost.signal.aborted) return
    // A reader that leaves (`codexbox … | head`) may have what it wants; whether that was all, the command says.
    if (systemCodeOf(error) !== 'EPIPE') {
      exitCode = 1
      // It may come after the last command has set one.
      process.exitCode = exitCode
      process.stderr.write(`${cannotBeWritten(error)}\n`)
    }
    lost.abort()
  })
  // What is said there is about the work, and not the work.
  process.stderr.on('error', () => {})
  process.on('exit', leaveClosedTerminals)
}

const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor))

/** Node aborts where it cannot put a terminal back as it was, unless it is no longer open here. */
function leaveClosedTerminals(): void {
  for (const descriptor of terminals) if (!isatty(descriptor)) closeSync(descriptor)
}

function cannotBeWritten(error: Error): string {
  const why = systemCodeOf(error) === 'ENOSPC' ? 'No space left on device' : error.message
  return `The output cannot be written: ${why}. What came of a run is in its session.`
}
