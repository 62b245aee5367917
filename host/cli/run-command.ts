import { text } from 'node:stream/consumers'
import { CodexboxError, messageOf } from '../../shared/errors.ts'
import type { RunEvent } from '../../shared/protocol.ts'
import { PROTOCOL_VERSION } from '../../shared/protocol-version.ts'
import type { Conversation } from '../runs/conversation.ts'
import { openConversation } from '../runs/open-conversation.ts'
import { exitCodeOf, exitCodeOfError } from './exit-code.ts'
import { conversationOptions, type RunOptions } from './options.ts'
import { Screen } from './screen.ts'
import { stopOnSignals } from './stop-signals.ts'

/** One run: `prompt`, or what comes on stdin. Resolves with the exit code. */
export async function runCommand(prompt: string | undefined, options: RunOptions): Promise<number> {
  const screen = new Screen()
  try {
    const asked = prompt === undefined || prompt === '-' ? await text(process.stdin) : prompt
    if (asked.trim() === '') {
      throw new CodexboxError(
        'wrong-use',
        'The prompt is empty. Give it as an argument or on stdin.',
      )
    }
    const conversation = await openConversation(await conversationOptions(options))
    try {
      if (!options.json) introduce(conversation, screen)
      return await oneRun(conversation, asked, screen, options.json ?? false)
    } finally {
      await conversation.close()
    }
  } catch (error) {
    if (!(error instanceof CodexboxError)) throw error
    if (options.json) writeLine(notStarted(error))
    else screen.error(error.message)
    return exitCodeOfError(error.code)
  }
}

/** Shows one run from its first event to its last. Resolves with the exit code. */
export async function oneRun(
  conversation: Conversation,
  prompt: string,
  screen: Screen,
  json: boolean,
): Promise<number> {
  const run = conversation.run(prompt)
  const signals = stopOnSignals(run, () => {
    if (!json) screen.note('Stopping … (Ctrl-C once more: at once)')
  })
  try {
    if (!json) screen.thinking()
    for await (const event of run) {
      if (json) writeLine(event)
      else screen.show(event)
    }
    const result = await run.result
    return signals.exitCode() ?? exitCodeOf(result)
  } finally {
    screen.still()
    signals.release()
  }
}

/** Says what will run where, and what the user should know about it. */
export function introduce(conversation: Conversation, screen: Screen): void {
  const { provider, engine, workspace, session, notices, network } = conversation
  const place =
    engine.name === 'docker' ? `${engine.description} · network ${network}` : engine.description
  screen.note(`codexbox · ${provider} · ${place}`)
  screen.note(`workspace ${workspace} · session ${session}`)
  for (const notice of notices) screen.note(notice, 'yellow')
  if (engine.name === 'process') {
    // The demo's commands are ours; a model's are anybody's.
    if (provider !== 'demo') {
      screen.note('There is no sandbox: what the model runs, runs as you.', 'yellow')
    }
    return
  }
  if (conversation.credentials === 'direct') {
    screen.note('The real token is inside the container (AGENT_CREDENTIALS=direct).', 'yellow')
  }
  if (!conversation.toolsIsolated) {
    screen.note('Root owns the workspace, so the tools run as root, like the agent.', 'yellow')
  }
}

function writeLine(event: RunEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}

/** A reader of `--json` gets its one `finished` line even when nothing could be started. */
function notStarted(error: CodexboxError): RunEvent {
  return {
    v: PROTOCOL_VERSION,
    seq: 1,
    runId: 'none',
    type: 'finished',
    status: 'failed',
    error: { code: error.code, message: messageOf(error) },
    usage: { inputTokens: 0, cachedInputTokens: 0, outputTokens: 0, reasoningTokens: 0 },
    turns: 0,
    toolCalls: 0,
    durationMs: 0,
  }
}
