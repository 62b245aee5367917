#!/usr/bin/env node
import { readConfig } from '../host/config.ts'
/**
 * The setup, step by step: `npx tsx setup/index.ts --step <name> [args]`. Prints one status block on
 * stdout for programs and one line on stderr for people. Exit code 0, 1 for a failed step, 4 for wrong
 * use.
 */
import { outputExitCode, watchOutput } from '../host/outer/cli/output.ts'
import { setupCommand } from '../host/package-root.ts'
import { failureOf } from '../shared/unforeseen.ts'
import { visible } from '../shared/visible-text.ts'
import { statusBlock } from './status-block.ts'
import type { Step, StepResult } from './step.ts'
import { codexAuthStep } from './steps/codex-auth.ts'
import { environmentStep } from './steps/environment.ts'
import { imageStep } from './steps/image.ts'
import { verifyStep } from './steps/verify.ts'

const steps: readonly Step[] = [environmentStep, codexAuthStep, imageStep, verifyStep]

const WRONG_USE = 4

watchOutput()

const [flag, name, ...args] = process.argv.slice(2)
const step = flag === '--step' ? steps.find((candidate) => candidate.name === name) : undefined

if (step) {
  const exitCode = report(step.name, await run(step))
  // A closed stdout, which is detected last, must not turn a failed step into a success.
  process.once('exit', () => {
    process.exitCode = outputExitCode() || exitCode
  })
} else {
  const asksForHelp = flag === '--help' || flag === '-h'
  const unknown = flag === '--step' && name !== undefined ? `There is no step ${name}.\n` : ''
  process.stderr.write(visible(`${unknown}${usage()}\n`))
  process.exitCode = asksForHelp ? 0 : WRONG_USE
}

async function run(chosen: Step): Promise<StepResult> {
  try {
    return await chosen.run(args, readConfig())
  } catch (error) {
    return {
      status: 'failed',
      fields: {},
      detail: failureOf(error).message,
      fix: 'Put that right and run the step again.',
    }
  }
}

function report(stepName: string, result: StepResult): number {
  const isFailed = result.status === 'failed'
  const fields = {
    ...result.fields,
    STATUS: isFailed ? 'failed' : 'success',
    ...(isFailed ? { ERROR: result.detail } : {}),
  }
  process.stderr.write(`${visible(`${result.detail}${isFailed ? `\n${result.fix}` : ''}`)}\n`)
  process.stdout.write(`${statusBlock(stepName, fields)}\n`)
  if (!isFailed) return 0
  return result.isWrongUse ? WRONG_USE : 1
}

function usage(): string {
  const width = Math.max(...steps.map((step) => step.name.length))
  const list = steps.map((step) => `  ${step.name.padEnd(width)}  ${step.summary}`)
  return [`Use: ${setupCommand('<name>')} [arguments]`, ...list].join('\n')
}
