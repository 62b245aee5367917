import type { FinishedCall } from '../conversation.ts'
import { sampleBug } from '../sample-project.ts'
import { lastCall, type Skill, type Task } from '../skill.ts'
import { call, type Step } from '../step.ts'
import {
  type CommandResult,
  failureOf,
  quote,
  readCommandResult,
  readListing,
} from '../tool-outputs.ts'

const TESTS = 'node --test'

/** Runs the tests, reads the failing code, repairs the one bug that the script knows, and runs them again. */
export const fixTest: Skill = {
  matches: (prompt) => /\b(tests?|bugs?|fix(es)?|repair|mend|failing|broken)\b/i.test(prompt),

  nextStep(task) {
    const { calls, can } = task
    const [before, after] = calls
      .filter(({ name }) => name === 'bash')
      .map(({ output }) => readCommandResult(output))
    if (!before) {
      if (!can('bash')) return { text: 'I was given no tool to run the tests with.' }
      return {
        reasoning: '**Running the tests**\n\nFirst see what fails, then read why.',
        text: 'I will run the tests.',
        calls: [call('bash', { command: TESTS })],
      }
    }
    if (after) return { text: reportSecondRun(after) }
    const written = lastCall(calls, 'write_file')
    if (written) return runAgain(written)
    return before.exitCode === 0 ? { text: reportPass(before) } : findBug(task, before)
  },
}

function findBug({ calls, can }: Task, before: CommandResult): Step {
  const tests = countTests(before)
  if (tests.failed === 0) {
    return { text: `The tests could not be run (${before.outcome}):\n\n${quote(before.output)}` }
  }
  const list = lastCall(calls, 'list_files')
  if (!list && can('list_files')) {
    return {
      reasoning: `**Reading the failure**\n\n${failures(before)}. Where is that tested?`,
      text: `${failures(before)}. I will look at the files.`,
      calls: [call('list_files', { path: '.', depth: 3 })],
    }
  }
  const { files } = readListing(list?.output ?? '')
  const paths = suspects(before, files)
  const reads = calls.filter(({ name }) => name === 'read_file')
  if (reads.length === 0 && paths.length > 0 && can('read_file')) {
    return {
      reasoning: '**Reading test and code**\n\nThe two do not depend on each other: both at once.',
      calls: paths.map((path) => call('read_file', { path })),
    }
  }
  return repair(reads, files, can)
}

function repair(
  reads: FinishedCall[],
  files: { path: string; bytes: number }[],
  can: Task['can'],
): Step {
  if (!can('read_file'))
    return { text: 'A test fails, but I was given no tool to read the code with.' }
  const culprit = reads.find(({ output }) => output.includes(sampleBug.wrong))
  if (!culprit) return { text: `${describeReads(reads)} ${UNKNOWN}` }
  const path = String(culprit.arguments.path)
  const shown = Buffer.byteLength(culprit.output)
  const size = files.find((file) => file.path === path)?.bytes
  const isComplete = size === undefined ? shown < SURELY_COMPLETE_BYTES : shown === size
  if (!isComplete) {
    // The tool omits the middle of a long file; writing that back would destroy it.
    return {
      text: `${path} has the bug, but only a part of it was shown to me, so I leave it alone.`,
    }
  }
  if (!can('write_file')) {
    return { text: `${path} has the bug (${sampleBug.why}), but I was given no tool to change it.` }
  }
  return {
    reasoning: `**Found it**\n\nIn ${path}: ${sampleBug.why}.`,
    text: `In ${path}, ${sampleBug.why}. I will give it a comparison.`,
    calls: [
      call('write_file', {
        path,
        content: culprit.output.replaceAll(sampleBug.wrong, sampleBug.right),
      }),
    ],
  }
}

function runAgain(written: FinishedCall): Step {
  const failure = failureOf(written)
  if (failure) return { text: `${written.arguments.path} could not be changed: ${failure}` }
  return {
    reasoning: '**Checking**\n\nA fix counts when the tests say so.',
    calls: [call('bash', { command: TESTS })],
  }
}

/** The tool shows files of this size completely. */
const SURELY_COMPLETE_BYTES = 8000

const UNKNOWN =
  'I do not recognise the bug: this script knows only the one of the sample project, and leaves the rest to a model. Nothing was changed.'

function describeReads(reads: FinishedCall[]): string {
  const paths = reads.map(({ arguments: args }) => args.path).join(' and ')
  return paths ? `A test fails, and I have read ${paths}.` : 'A test fails.'
}

function reportPass(result: CommandResult): string {
  const { passed, failed } = countTests(result)
  if (passed + failed === 0) return `\`${TESTS}\` found no tests here.`
  return `There is nothing to fix: all ${passed} tests pass.`
}

function reportSecondRun(result: CommandResult): string {
  const { passed } = countTests(result)
  if (result.exitCode === 0) {
    return `Fixed: ${sampleBug.why}; with a comparison it orders them by value. All ${passed} tests pass now.`
  }
  return `I changed what I know to be wrong, but it is not fixed (${result.outcome}). ${failures(result)}.`
}

/** Reads both report formats of Node: TAP (`# fail 1`) and the later `spec`. */
function countTests({ output }: CommandResult): { passed: number; failed: number } {
  const count = (what: string) =>
    Number(new RegExp(`^\\S ${what} (\\d+)$`, 'm').exec(output)?.[1] ?? 0)
  return { passed: count('pass'), failed: count('fail') + count('cancelled') }
}

function failures(result: CommandResult): string {
  const { passed, failed } = countTests(result)
  const matches = result.output.matchAll(/^\s*(?:not ok \d+ - |✖ )(.+?)(?: \([\d.]+ms\))?$/gm)
  const names = new Set(
    [...matches].map((match) => match[1]).filter((name) => name !== 'failing tests:'),
  )
  const named = [...names].map((name) => `"${name}"`).join(', ')
  return `${failed} of ${passed + failed} tests fail${named ? `: ${named}` : ''}`
}

/** The test file in the failure's stack trace, and the module that it tests. */
function suspects({ output }: CommandResult, files: { path: string }[]): string[] {
  const location = /([^\s'"():]*\.test\.[cm]?js):\d+/.exec(output)?.[1]
  if (!location) return []
  const test = files.find(({ path }) => isSameFile(location, path))?.path
  if (!test) return files.length === 0 ? [location, location.replace('.test.', '.')] : []
  const module = test.replace('.test.', '.')
  return [test, module].filter((path) => files.some((file) => file.path === path))
}

/** A location is absolute, a listed path is relative to the workspace. */
function isSameFile(location: string, path: string): boolean {
  return location === path || location.endsWith(`/${path}`)
}
