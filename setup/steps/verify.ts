import { rm } from 'node:fs/promises'
import { openConversation } from '../../host/open-conversation.ts'
import { removeSession } from '../../host/runs/session-log.ts'
import { addSharedFolder, makeOwnedTempFolder } from '../../host/storage/owned-temp-folder.ts'
import { readWithin } from '../../host/workspace/open-within.ts'
import { CodexboxError, messageOf } from '../../shared/errors.ts'
import { refuseArguments, type Step } from '../step.ts'

/** The agent has to write this file: its existence proves that the agent really acted. */
const FILE = 'codexbox-verify.txt'
const PROMPT = `Run this command with bash and then answer with the one word done: echo verified > ${FILE}`
/** The demo runs a command in this form. */
const DEMO_PROMPT = `run: echo verified > ${FILE}`

/** One real run, from the prompt to a file in the workspace, with the current settings. */
export const verifyStep: Step = {
  name: 'verify',
  summary: 'Make one real run and say what it proved',

  async run(args, config) {
    const refused = refuseArguments('verify', args)
    if (refused) return refused
    const folder = makeOwnedTempFolder()
    try {
      return await verify(addSharedFolder(folder, 'w'), config)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
}

async function verify(workspace: string, config: Parameters<Step['run']>[1]) {
  try {
    const conversation = await openConversation({ workspace, settings: config })
    try {
      const isDemo = conversation.provider === 'demo'
      const { status, error, toolCalls, durationMs } = await conversation.run(
        isDemo ? DEMO_PROMPT : PROMPT,
      ).result
      const written = readWithin(conversation.workspace, FILE, 1000)?.toString()
      const fields = {
        PROVIDER: conversation.provider,
        MODEL: conversation.model ?? 'unknown',
        ENGINE: conversation.engine.name,
        CREDENTIALS: config.credentials,
        NETWORK: conversation.network,
        RUN: status,
        TOOL_CALLS: String(toolCalls),
        DURATION_MS: String(durationMs),
      }
      if (status !== 'done' || written?.trim() !== 'verified') {
        const detail = error?.message ?? 'The run ended, but the file it was to write is not there.'
        return { status: 'failed' as const, fields, detail, fix: 'Look at what is said above.' }
      }
      const model = isDemo ? 'the scripted demo (no model was asked)' : `the model ${fields.MODEL}`
      const place =
        fields.ENGINE === 'docker' ? 'in a container' : 'as a plain process, NOT isolated'
      return {
        status: 'done' as const,
        fields,
        detail: `A command chosen by ${model} ran ${place} and its file came back to this machine.`,
      }
    } finally {
      await conversation.close()
      // The session has no further use.
      await removeSession(config.dataDir, conversation.session)
    }
  } catch (error) {
    if (!(error instanceof CodexboxError)) throw error
    return {
      status: 'failed' as const,
      fields: { RUN: 'not started', CODE: error.code },
      detail: messageOf(error),
      fix: 'Do what is said above, then run this step again.',
    }
  }
}
