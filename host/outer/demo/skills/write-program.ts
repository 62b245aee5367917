import { type Extent, extentIn } from '../number-in-prompt.ts'
import { lastCall, type Skill } from '../skill.ts'
import { call } from '../step.ts'
import { failureOf, quote, readCommandResult } from '../tool-outputs.ts'

/** Writes a small program, runs it and reports its real output. */
export const writeProgram: Skill = {
  matches: (prompt) =>
    /\b(write|create|make|build|generate|code)\b[\s\S]*\b(programs?|scripts?|code|app|tool)\b|\bprimes?\b|\bfibonacci\b/i.test(
      prompt,
    ),

  nextStep({ prompt, calls, can }) {
    const program = programFor(prompt)
    const written = lastCall(calls, 'write_file')
    const ran = lastCall(calls, 'bash')

    if (!written) {
      if (!can('write_file')) return { text: 'I was given no tool to write a file with.' }
      return {
        reasoning: `**Writing a program**\n\nIt prints ${program.prints}. Node is certain to be here, so it is for Node.`,
        text: `${program.note}I will write ${program.path}, which prints ${program.prints}, and run it.`,
        calls: [call('write_file', { path: program.path, content: program.source })],
      }
    }
    const failure = failureOf(written)
    if (failure) return { text: `${program.path} could not be written: ${failure}` }
    if (!ran) {
      if (!can('bash')) {
        return { text: `${program.path} is written; I was given no tool to run it with.` }
      }
      return { calls: [call('bash', { command: `node ${program.path}` })] }
    }
    const { exitCode, outcome, output } = readCommandResult(ran.output)
    const shown = output ? `\n\n${quote(output)}` : ' nothing.'
    if (exitCode !== 0) {
      return { text: `${program.path} failed (${outcome}). This is what came out:${shown}` }
    }
    return { text: `${program.path} ran and printed ${program.prints}:${shown}` }
  },
}

interface Program {
  path: string
  prints: string
  source: string
  /** Tells how the program differs from the request. */
  note: string
}

/** Bounds the length of the run and of the answer. */
const MAX_COUNT = 1000
const MAX_VALUE = 10_000

function programFor(prompt: string): Program {
  const isFibonacci = /fibonacci/i.test(prompt)
  const isKnown = isFibonacci || /prime/i.test(prompt)
  const requested = extentIn(isKnown ? prompt : '') ?? { count: 10 }
  const extent = bounded(requested)
  const noun = isFibonacci ? 'Fibonacci numbers' : 'primes'
  const prints = describe(extent, noun)
  const loop = isFibonacci ? fibonacciLoop(extent) : primesLoop(extent)
  return {
    // An unlikely name for a user's file, since an existing file is replaced.
    path: `codexbox-${isFibonacci ? 'fibonacci' : 'primes'}.mjs`,
    prints,
    source: `// Prints ${prints}. Written by the codexbox demo.\nconst numbers = []\n${loop}\nconsole.log(numbers.join(' '))\n`,
    note: [
      isKnown ? '' : 'The only programs this script can write print primes or Fibonacci numbers. ',
      describe(requested, noun) === prints ? '' : 'That would be a long list, so I stop earlier. ',
    ].join(''),
  }
}

function primesLoop(extent: Extent): string {
  return `for (let n = 2; ${condition(extent, 'n')}; n++) {
  if (numbers.every((prime) => n % prime !== 0)) numbers.push(n)
}`
}

/** Big integers: the hundredth Fibonacci number is more than a double can hold. */
function fibonacciLoop(extent: Extent): string {
  return `for (let [a, b] = [0n, 1n]; ${condition(extent, 'a')}; [a, b] = [b, a + b]) {
  numbers.push(a)
}`
}

function condition(extent: Extent, candidate: string): string {
  if ('count' in extent) return `numbers.length < ${extent.count}`
  return 'below' in extent ? `${candidate} < ${extent.below}` : `${candidate} <= ${extent.upTo}`
}

function bounded(extent: Extent): Extent {
  if ('count' in extent) return { count: Math.min(extent.count, MAX_COUNT) }
  if ('below' in extent) return { below: Math.min(extent.below, MAX_VALUE) }
  return { upTo: Math.min(extent.upTo, MAX_VALUE) }
}

function describe(extent: Extent, noun: string): string {
  if ('count' in extent) return `the first ${extent.count} ${noun}`
  return 'below' in extent
    ? `the ${noun} below ${extent.below}`
    : `the ${noun} up to ${extent.upTo}`
}
