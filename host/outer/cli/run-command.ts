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

/** One run: `prompt`, or what comes on stdin. Resolves with the exit code. */
export async function runCommand(
  prompt: string | undefined,
  options: OneRunOptions,
): Promise<number> {
  const screen = new Screen()
  const shown = options.json ? undefined : screen
  if (options.json) oweFinished()
  const begin = await beginning(prompt, options, screen)
  if (options.minRemaining !== undefined) {
    await checkRemaining(readPercent(options.minRemaining), screen)
  }
  const conversation = await openConversation(await conversationOptions(options))
  try {
    if (shown) introduce(conversation, shown)
    let end = await oneRun(begin(conversation), shown)
    for (let before = 0; options.waitForLimit && end.isLimit && end.resetsAt; before++) {
      const { resetsAt } = end
      const { session } = conversation
      const stopped = await waitForLimit({ resetsAt, session, before, screen: shown })
      if (stopped !== undefined) return stopped
      end = await oneRun(conversation.resume(ONE_SHOT), shown)
    }
    return end.exitCode
  } finally {
    await closeAndTell(conversation, screen)
  }
}

/** How the run begins: with a prompt and its images, or where the session ends. */
async function beginning(
  prompt: string | undefined,
  options: OneRunOptions,
  screen: Screen,
): Promise<(conversation: Conversation) => Run> {
  const wrong = (what: string) => new CodexboxError('wrong-use', what)
  const images = options.image?.map(imageFile)
  if (options.continue) {
    if (prompt !== undefined || images) {
      throw wrong('--continue goes on where the session ends: it takes no prompt and no image.')
    }
    if (!options.session) throw wrong('--continue wants to know which session: add --session NAME.')
    // One that is not there must not be made by looking for it.
    readSession(readConfig().dataDir, options.session)
    return (conversation) => conversation.resume(ONE_SHOT)
  }
  const isOnStdin = prompt === undefined || prompt === '-'
  if (isOnStdin && process.stdin.isTTY) screen.note('Type the prompt, then Enter and Ctrl-D.')
  const tell = (message: string) => screen.note(message, 'yellow')
  const asked = isOnStdin ? await readPipedPrompt() : await withPipedText(prompt, tell)
  if (asked.trim() === '') throw wrong('The prompt is empty. Give it as an argument or on stdin.')
  return (conversation) => conversation.run(asked, { ...ONE_SHOT, ...(images ? { images } : {}) })
}

async function checkRemaining(percent: number, screen: Screen): Promise<void> {
  const { provider } = chooseProvider(readConfig())
  await refuseBelow(percent, provider, (text) => screen.note(text, 'yellow'))
}

/** How a run ended, for whoever has to go on from there. */
export interface RunEnd {
  exitCode: number
  /** Whether the usage limit ended it. */
  isLimit: boolean
  resetsAt: number | undefined
}

/** Shows a run from its first event to its last; without a screen, as JSON lines. */
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

/** With `--json` as well on stderr: no event comes behind the last one of a run. */
export async function closeAndTell(
  conversation: Pick<Conversation, 'close'>,
  screen: Screen,
): Promise<void> {
  const left = await conversation.close()
  if (left) screen.planted(left, 'since the last run ended')
}

/** Says what will run where, and what the user should know about it. */
export function introduce(conversation: Conversation, screen: Screen): void {
  const { provider, engine, workspace, session, network } = conversation
  const place =
    engine.name === 'docker' ? `${engine.description} · network ${network}` : engine.description
  screen.note(`codexbox · ${provider} · ${place}`)
  screen.note(`workspace ${workspace} · session ${session}`)
  for (const notice of conversation.takeNotices()) screen.note(notice, 'yellow')
}
