#!/usr/bin/env node
import { oweFinishedTo, tellFailure } from './outer/cli/way-out.ts'

// What no command has caught: a stack trace is not for a person.
process.on('uncaughtException', (error) => process.exit(tellFailure(error)))

try {
  // Not with the others: a program can only tell that its own files cannot be loaded when it runs already.
  const { outputExitCode, watchOutput } = await import('./outer/cli/output.ts')
  const { main } = await import('./outer/cli/program.ts')
  watchOutput()
  const exitCode = await main(process.argv)
  process.exitCode = outputExitCode() ?? exitCode
} catch (error) {
  oweFinishedTo(process.argv)
  process.exitCode = tellFailure(error)
}
