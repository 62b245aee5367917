#!/usr/bin/env node
import { oweFinishedTo, tellFailure } from './outer/cli/way-out.ts'

// For errors that no command has caught: a stack trace is not for a person.
process.on('uncaughtException', (error) => process.exit(tellFailure(error)))

try {
  // Not a static import: only a running program can report that its own files do not load.
  const { outputExitCode, watchOutput } = await import('./outer/cli/output.ts')
  const { main } = await import('./outer/cli/program.ts')
  watchOutput()
  const exitCode = await main(process.argv)
  process.exitCode = outputExitCode() ?? exitCode
} catch (error) {
  oweFinishedTo(process.argv)
  process.exitCode = tellFailure(error)
}
