import { createInterface } from 'node:readline'
import { CodexboxError } from '../../shared/errors.ts'
import { visible } from '../../shared/visible-text.ts'
import { cliCommand } from '../package-root.ts'
import { openConversation } from '../runs/open-conversation.ts'
import type { Run } from '../runs/run.ts'
import { takesEscapes } from '../terminal.ts'
import { conversationOptions, type OneRunOptions, oneRunOnly } from './options.ts'
import { closeAndTell, introduce, oneRun } from './run-command.ts'
import { Screen } from './screen.ts'
import { tellWhatIsTyped } from './tell-what-is-typed.ts'

/** A chat in the terminal. Resolves with the exit code. */
export async function chatCommand(options: OneRunOptions): Promise<number> {
  const screen = new Screen()
  const option = oneRunOnly(options)
  if (option) {
    throw new CodexboxError('wrong-use', `${option} is for one run: give a prompt as well.`)
  }
  const conversation = await openConversation(await conversationOptions(options))
  try {
    introduce(conversation, screen)
    screen.note(HINTS[conversation.provider] ?? HINTS.default)
    for await (const prompt of prompts()) {
      if (prompt === '/help') screen.note(HELP)
      else await runTalkingAlong(conversation.run(prompt), screen)
    }
  } finally {
    await closeAndTell(conversation, screen)
    screen.note(`Go on later: ${cliCommand(`--session ${conversation.session}`)}`)
  }
  return 0
}

async function runTalkingAlong(run: Run, screen: Screen): Promise<void> {
  const stopListening = tellWhatIsTyped(run, screen)
  try {
    await oneRun(run, screen)
  } finally {
    stopListening()
  }
}

const HINTS: Record<string, string> & { default: string } = {
  demo: 'Try: look around · write and run a program · find and fix the failing test · explain yourself',
  default: 'Ask for something. /help shows what else can be typed.',
}

const HELP =
  'Type a request and press Enter; what you type while it works is told to the agent before its next ' +
  'step. Ctrl-C stops a run. /exit or Ctrl-D leaves.'

const PROMPT = '\n› '

/**
 * What the user types, line by line. A reader of its own for each line: between them the terminal is
 * as usual, so that Ctrl-C during a run is a signal.
 */
async function* prompts(): AsyncGenerator<string> {
  const history: string[] = []
  let typed: Typed = { lines: [], rest: '' }
  for (;;) {
    if (typed.lines.length === 0) typed = await ask(history, typed.rest)
    // Of lines that came together, those behind the first are shown again where their turn is.
    else process.stderr.write(`${PROMPT}${visible(typed.lines[0] ?? '')}\n`)
    const line = typed.lines.shift()?.trim()
    if (line === undefined || line === '/exit') return
    if (line === '') continue
    history.unshift(line)
    yield line
  }
}

interface Typed {
  /** Undefined stands for leaving: Ctrl-D, or Ctrl-C. */
  lines: (string | undefined)[]
  /** The beginning of a line that is not finished. */
  rest: string
}

/** Waits for a line. Text that is pasted, or was typed during a run, may be several at once. */
async function ask(history: readonly string[], begun: string): Promise<Typed> {
  // It may have ended between two prompts, and it says so only once.
  if (process.stdin.readableEnded) return { lines: [undefined], rest: '' }
  const isEdited = process.stdin.isTTY && takesEscapes(process.stderr)
  const reader = createInterface({
    input: process.stdin,
    output: process.stderr,
    prompt: PROMPT,
    history: [...history],
    terminal: isEdited,
  })
  // Where the line is not edited here, Ctrl-C is a signal.
  const leave = () => reader.close()
  if (!isEdited) process.once('SIGINT', leave)
  const lines: (string | undefined)[] = []
  const isIn = new Promise<void>((resolve) => {
    const take = (line?: string) => {
      lines.push(line)
      resolve()
    }
    reader.on('line', take)
    reader.once('close', () => take())
    reader.once('SIGINT', () => reader.close())
    // After Ctrl-Z and `fg` the reader is paused, and nothing else would keep this process alive.
    reader.on('SIGCONT', () => reader.prompt(true))
  })
  reader.prompt()
  if (begun) reader.write(begun)
  await isIn
  process.off('SIGINT', leave)
  const typed = { lines: [...lines], rest: reader.line }
  reader.close()
  if (typed.lines[0] === undefined) process.stderr.write('\n')
  return typed
}
