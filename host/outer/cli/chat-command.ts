import { CodexboxError } from '../../../shared/errors.ts'
import { visible } from '../../../shared/visible-text.ts'
import { openConversation } from '../../open-conversation.ts'
import { cliCommand } from '../../package-root.ts'
import type { Run } from '../../runs/run.ts'
import { askPrompt, NOTHING, PROMPT } from './ask-prompt.ts'
import { forwardTypedLines } from './forward-typed-lines.ts'
import { conversationOptions, type OneRunOptions, oneRunOnly } from './options.ts'
import { closeAndTell, introduce, oneRun } from './run-command.ts'
import { Screen } from './screen.ts'

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
  const stopListening = forwardTypedLines(run, screen)
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
  'Type a request and press Enter; several lines can be pasted. What you type while it works is told to the agent before its next ' +
  'step. Ctrl-C stops a run. /exit or Ctrl-D leaves.'

/**
 * Yields the user's prompts. Each has its own reader: between prompts the terminal is in its normal
 * mode, so that Ctrl-C during a run is a signal.
 */
async function* prompts(): AsyncGenerator<string> {
  const history: string[] = []
  let typed = NOTHING
  for (;;) {
    if (typed.prompts.length === 0) typed = await askPrompt(history, typed.rest)
    // Prompts that arrived together are echoed again, each before its own run.
    else process.stderr.write(`${PROMPT}${visible(typed.prompts[0] ?? '')}\n`)
    const [prompt, ...later] = typed.prompts
    typed = { ...typed, prompts: later }
    const command = prompt?.trim()
    if (prompt === undefined || command === '/exit') return
    if (command === '') continue
    history.unshift(prompt)
    // Leading whitespace of a paste may be significant, such as a tab.
    yield prompt.includes('\n') ? prompt : prompt.trim()
  }
}
