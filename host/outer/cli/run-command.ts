import { CodexboxError } from '../../../shared/errors.ts'
import { chooseProvider } from '../../choose-provider.ts'
import { readConfig } from '../../config.ts'
import { openConversation } from '../../open-conversation.ts'
import type { Conversation } from '../../runs/conversation.ts'
import type { Run } from '../../runs/run.ts'
import { readSession } from '../../runs/session-log.ts'
import { readPercent, refuseBelow } from './check-remaining.ts'
import { exitCodeOf } from './exit-code.ts'
import { imageFile } from './image-file.ts'
import { conversationOptions, type OneRunOptions } from './options.ts'
import { outputLost } from './output.ts'
import { readPipedPrompt, withPipedText } from './piped-text.ts'
import { Screen } from './screen.ts'
import { stopOnSignals } from './stop-signals.ts'
import { waitForLimit } from './wait-for-limit.ts'
import { oweFinished, printEvent } from './way-out.ts'

const ONE_SHOT = { oneShot: true }

/** One run with `prompt` or the text on stdin. Resolves with the exit code. */
export async function runCommand(
  prompt: string | undefined,
  options: OneRunOptions,
): Promise<number> {
  const screen = new Screen()
  const shown = options.json ? undefined : screen
  if (options.json) oweFinished()
  const startRun = await prepareRun(prompt, options, screen)
  if (options.minRemaining !== undefined) {
    await checkRemaining(readPercent(options.minRemaining), screen)
  }
  const conversation = await openConversation(await conversationOptions(options))
  try {
    if (shown) introduce(conversation, shown)
    let end = await oneRun(startRun(conversation), shown)
    for (let before = 0; options.waitForLimit && end.isLimit && end.resetsAt; before++) {
      const { resetsAt } = end
      const { session } = conversation
      const interruptCode = await waitForLimit({ resetsAt, session, before, screen: shown })
      if (interruptCode !== undefined) return interruptCode
      end = await oneRun(conversation.resume(ONE_SHOT), shown)
    }
    return end.exitCode
  } finally {
    await closeAndTell(conversation, screen)
  }
}

/** Reads the input and returns how to start the run: with a prompt and images, or by resuming the session. */
async function prepareRun(
  prompt: string | undefined,
  options: OneRunOptions,
  screen: Screen,
): Promise<(conversation: Conversation) => Run> {
  const wrongUse = (message: string) => new CodexboxError('wrong-use', message)
  const images = options.image?.map(imageFile)
  if (options.continue) {
    if (prompt !== undefined || images) {
      throw wrongUse('--continue goes on where the session ends: it takes no prompt and no image.')
    }
    if (!options.session)
      throw wrongUse('--continue wants to know which session: add --session NAME.')
    // Fails for a missing session; opening it would create it.
    readSession(readConfig().dataDir, options.session)
    return (conversation) => conversation.resume(ONE_SHOT)
  }
  const isOnStdin = prompt === undefined || prompt === '-'
  if (isOnStdin && process.stdin.isTTY) screen.note('Type the prompt, then Enter and Ctrl-D.')
  const notify = (message: string) => screen.note(message, 'yellow')
  const input = isOnStdin ? await readPipedPrompt() : await withPipedText(prompt, notify)
  if (input.trim() === '')
    throw wrongUse('The prompt is empty. Give it as an argument or on stdin.')
  return (conversation) => conversation.run(input, { ...ONE_SHOT, ...(images ? { images } : {}) })
}

async function checkRemaining(percent: number, screen: Screen): Promise<void> {
  const { provider } = chooseProvider(readConfig())
  await refuseBelow(percent, provider, (text) => screen.note(text, 'yellow'))
}

/** How a run ended: the input of `--wait-for-limit`. */
export interface RunEnd {
  exitCode: number
  /** Whether the usage limit ended it. */
  isLimit: boolean
  resetsAt: number | undefined
}

/** Shows all events of a run; without a screen, as JSON lines. */
export async function oneRun(run: Run, screen: Screen | undefined): Promise<RunEnd> {
  const signals = stopOnSignals(run, () => {
    screen?.note('Stopping … (Ctrl-C once more: at once)')
  })
  const stop = () => run.interrupt()
  outputLost.addEventListener('abort', stop)
  if (outputLost.aborted) stop()
  try {
    screen?.waiting('starting')
    for await (const event of run) {
      if (screen) screen.show(event)
      else printEvent(event)
    }
    const result = await run.result
    return {
      exitCode: signals.exitCode() ?? exitCodeOf(result),
      isLimit: result.error?.code === 'usage-limit',
      resetsAt: result.error?.resetsAt,
    }
  } finally {
    screen?.still()
    signals.release()
    outputLost.removeEventListener('abort', stop)
  }
}

/** On stderr even with `--json`: `finished` is the last event of a run. */
export async function closeAndTell(
  conversation: Pick<Conversation, 'close'>,
  screen: Screen,
): Promise<void> {
  const changes = await conversation.close()
  if (changes) screen.planted(changes, 'since the last run ended')
}

/** Prints provider, engine, workspace and session, and the notices. */
export function introduce(conversation: Conversation, screen: Screen): void {
  const { provider, engine, workspace, session, network } = conversation
  const place =
    engine.name === 'docker' ? `${engine.description} · network ${network}` : engine.description
  screen.note(`codexbox · ${provider} · ${place}`)
  screen.note(`workspace ${workspace} · session ${session}`)
  for (const notice of conversation.takeNotices()) screen.note(notice, 'yellow')
}
