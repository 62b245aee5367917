import { closeSync } from 'node:fs'
import { isatty } from 'node:tty'
import { systemCodeOf } from '../../../shared/errors.ts'

const lost = new AbortController()
let exitCode: number | undefined

/** Aborts when stdout can no longer be written: the run need not continue. */
export const outputLost: AbortSignal = lost.signal

/** 1 after a failed write to stdout; undefined if none failed, or the reader closed it (EPIPE). */
export const outputExitCode = (): number | undefined => exitCode

/** Watches stdout and stderr for the rest of this process. */
export function watchOutput(): void {
  process.stdout.on('error', (error) => {
    if (lost.signal.aborted) return
    // A reader may close stdout once it has enough (`codexbox … | head`): the command decides the exit code.
    if (systemCodeOf(error) !== 'EPIPE') {
      exitCode = 1
      // The error may arrive after the command has set an exit code.
      process.exitCode = exitCode
      process.stderr.write(`${cannotBeWritten(error)}\n`)
    }
    lost.abort()
  })
  // Stderr carries notes, not results: losing it does not end a run.
  process.stderr.on('error', () => {})
  process.on('exit', leaveClosedTerminals)
}

const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor))

/** Node aborts at exit when it cannot restore a terminal's mode; it skips closed descriptors. */
function leaveClosedTerminals(): void {
  for (const descriptor of terminals) if (!isatty(descriptor)) closeSync(descriptor)
}

function cannotBeWritten(error: Error): string {
  const why = systemCodeOf(error) === 'ENOSPC' ? 'No space left on device' : error.message
  return `The output cannot be written: ${why}. What came of a run is in its session.`
}
