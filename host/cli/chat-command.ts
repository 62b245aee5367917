import { createInterface } from 'node:readline/promises'
import { CodexboxError } from '../../shared/errors.ts'
import { openConversation } from '../runs/conversation.ts'
import { exitCodeOfError } from './exit-code.ts'
import { conversationOptions, type RunOptions } from './options.ts'
import { introduce, oneRun } from './run-command.ts'
import { Screen } from './screen.ts'

/** A chat in the terminal. Resolves with the exit code. */
export async function chatCommand(options: RunOptions): Promise<number> {
  const screen = new Screen()
  try {
    const conversation = await openConversation(await conversationOptions(options))
    try {
      introduce(conversation, screen)
      screen.note(HINTS[conversation.provider] ?? HINTS.default)
      for await (const prompt of prompts()) {
        if (prompt === '/help') screen.note(HELP)
        else await oneRun(conversation, prompt, screen, false)
      }
    } finally {
      await conversation.close()
      screen.note(`The session is kept; go on with it: --session ${conversation.session}`)
    }
    return 0
  } catch (error) {
    if (!(error instanceof CodexboxError)) throw error
    screen.error(error.message)
    return exitCodeOfError(error.code)
  }
}

const HINTS: Record<string, string> & { default: string } = {
  demo: 'Try: look around · write and run a program · find and fix the failing test · explain yourself',
  default: 'Ask for something. /help shows what else can be typed.',
}

const HELP = 'Type a request and press Enter. Ctrl-C stops a run. /exit or Ctrl-D leaves.'

/**
 * What the user types, line by line. A reader of its own for each line: between them the terminal is
 * as usual, so that Ctrl-C during a run is a signal, and what is typed ahead waits for its turn.
 */
async function* prompts(): AsyncGenerator<string> {
  const history: string[] = []
  for (;;) {
    const line = await ask(history)
    if (line === undefined || line === '/exit') return
    if (line === '') continue
    history.unshift(line)
    yield line
  }
}

/** Undefined when the user leaves: Ctrl-D, or Ctrl-C on an empty line. */
async function ask(history: readonly string[]): Promise<string | undefined> {
  const reader = createInterface({
    input: process.stdin,
    output: process.stderr,
    history: [...history],
    terminal: process.stdin.isTTY,
  })
  const left = new Promise<undefined>((resolve) => {
    reader.once('close', () => resolve(undefined))
    reader.once('SIGINT', () => reader.close())
  })
  const line = await Promise.race([reader.question('\n› '), left])
  reader.close()
  if (line === undefined) process.stderr.write('\n')
  return line?.trim()
}
