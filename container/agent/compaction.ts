import type { Item } from '../../shared/items.ts'
import type { RunRequest } from '../../shared/protocol.ts'
import type { AskReply } from './ask-model.ts'
import type { History } from './history.ts'
import type { ModelFailure } from './model-failure.ts'
import { userMessage } from './request-body.ts'

/** A request with `more` at its end; the items of its answer go to `items`, not into the history. */
export type AskAside = (more: readonly Item[], items: Item[]) => Promise<AskReply>

/**
 * Replaces a history that has become too long by the user's messages, and one item or message for the
 * rest. The service folds the rest into a sealed item (`trigger`), or the model writes a summary
 * (`summary`), for services that do not know the trigger.
 * Returns the failure when neither worked; the history is then unchanged.
 */
export async function compact(
  { form }: Pick<RunRequest, 'form'>,
  history: History,
  ask: AskAside,
): Promise<ModelFailure | undefined> {
  let failure: ModelFailure | undefined
  for (const compactBy of form.compaction === 'trigger' ? [sealed, summarised] : [summarised]) {
    const result = await compactBy(ask)
    if ('stand-in' in result) {
      const tokens = Math.min(MAX_USER_TOKENS, (form.compactAtTokens ?? MAX_USER_TOKENS * 2) / 2)
      history.replace([...history.userMessages(tokens), result['stand-in']])
      return undefined
    }
    failure = result.failure
    // Only a service that does not know the trigger is asked for a summary.
    if (failure.code !== 'model-refused' && failure.code !== 'model-failed') break
  }
  return failure
}

type Result = { 'stand-in': Item } | { failure: ModelFailure }

/** The user's messages stay verbatim up to this size. */
const MAX_USER_TOKENS = 64_000

async function sealed(ask: AskAside): Promise<Result> {
  const items: Item[] = []
  const { failure } = await ask([{ type: 'compaction_trigger' }], items)
  if (failure) return { failure }
  const standIn = items.find(({ type }) => type === 'compaction')
  return standIn ? { 'stand-in': standIn } : { failure: notShortened }
}

async function summarised(ask: AskAside): Promise<Result> {
  const items: Item[] = []
  const { failure } = await ask([userMessage(SUMMARY_PROMPT)], items)
  if (failure) return { failure }
  const text = items.map(textOf).join('\n').trim()
  return text === ''
    ? { failure: notShortened }
    : { 'stand-in': userMessage(`${SUMMARY_HEADING}\n\n${text}`) }
}

const SUMMARY_PROMPT =
  'This conversation is about to be replaced by a summary, because it has become too long. Write that ' +
  'summary now, for yourself, without calling a tool: the task and its exact wording where it matters, ' +
  'what was decided and why, what was done (files, commands, results), what is still open, and the ' +
  'next step. Leave out what can be seen in the workspace anyway.'

const SUMMARY_HEADING = 'Summary of the conversation so far, written by you before it was cut:'

const notShortened: ModelFailure = {
  code: 'context-full',
  message:
    'The conversation no longer fits into the model, and the service did not shorten it. Start a new session.',
  remedy: 'give-up',
}

function textOf({ type, content }: Item): string {
  if (type !== 'message' || !Array.isArray(content)) return ''
  return content.map((part) => String(part?.text ?? '')).join('')
}
