import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { CodexboxError } from '../../shared/errors.ts'
import type { Config } from '../config.ts'
import { isCheckout, packageRoot } from '../package-root.ts'
import type { ConversationOptions } from '../runs/open-conversation.ts'
import { layOutSampleProject } from '../sample-project.ts'

/** The options that chat and run share. */
export interface RunOptions {
  workspace?: string
  session?: string
  model?: string
  effort?: string
  timeout?: string
  json?: boolean
}

/** What was asked for on the command line, as the library takes it. @throws CodexboxError */
export async function conversationOptions(options: RunOptions): Promise<ConversationOptions> {
  const settings: Partial<Config> = {
    ...(options.model ? { model: options.model } : {}),
    ...(options.effort ? { effort: options.effort } : {}),
  }
  return {
    workspace: options.workspace ?? (await defaultWorkspace()),
    settings,
    ...(options.session ? { session: options.session } : {}),
    ...(options.timeout ? { limits: { runMs: timeoutMs(options.timeout) } } : {}),
  }
}

/**
 * The current folder. In a checkout of ours that cannot be, since it holds the data folder: there it
 * is `workspace`, with a small project to try things on.
 */
async function defaultWorkspace(): Promise<string> {
  if (!isCheckout || resolve(process.cwd()) !== packageRoot) return process.cwd()
  const folder = join(packageRoot, 'workspace')
  mkdirSync(folder, { recursive: true })
  await layOutSampleProject(folder)
  return folder
}

function timeoutMs(text: string): number {
  const seconds = Number(text)
  if (Number.isFinite(seconds) && seconds > 0 && seconds <= 24 * 3600)
    return Math.ceil(seconds * 1000)
  throw new CodexboxError('wrong-use', `--timeout wants seconds, up to a day; it was "${text}".`)
}
