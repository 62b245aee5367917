import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { CodexboxError } from '../../../shared/errors.ts'
import type { Config } from '../../config.ts'
import { neededCurrentFolder } from '../../current-folder.ts'
import type { ConversationOptions } from '../../open-conversation.ts'
import { isCheckout, packageRoot } from '../../package-root.ts'
import { layOutSampleProject } from '../demo/sample-project.ts'
import { readInput } from './input-file.ts'

/** The options that chat and run share. */
export interface RunOptions {
  workspace?: string
  session?: string
  model?: string
  effort?: string
  timeout?: string
  json?: boolean
  webSearch?: boolean
  outputSchema?: string
}

/** The options of `run`; a chat refuses some of them. */
export interface OneRunOptions extends RunOptions {
  image?: string[]
  /** Continues the session without a new prompt. */
  continue?: boolean
  waitForLimit?: boolean
  minRemaining?: string
}

/** The first option that a chat refuses, as the user types it. */
export function oneRunOnly(options: OneRunOptions): string | undefined {
  if (options.image) return '--image'
  if (options.waitForLimit) return '--wait-for-limit'
  if (options.minRemaining !== undefined) return '--min-remaining'
  return undefined
}

/** The command line's options as library options. @throws CodexboxError */
export async function conversationOptions(options: RunOptions): Promise<ConversationOptions> {
  const settings: Partial<Config> = {
    ...(options.model ? { model: options.model } : {}),
    ...(options.effort ? { effort: options.effort } : {}),
  }
  return {
    workspace: options.workspace ?? (await defaultWorkspace()),
    settings,
    ...(options.webSearch ? { webSearch: true } : {}),
    ...(options.outputSchema ? { outputSchema: schemaFile(options.outputSchema) } : {}),
    ...(options.session ? { session: options.session } : {}),
    ...(options.timeout ? { limits: { runMs: timeoutMs(options.timeout) } } : {}),
  }
}

/**
 * The current folder. A codexbox checkout holds the data folder and cannot be a workspace: there it
 * is the subfolder `workspace`, with the sample project.
 */
async function defaultWorkspace(): Promise<string> {
  const current = neededCurrentFolder()
  if (!isCheckout || current !== packageRoot) return current
  const folder = join(packageRoot, 'workspace')
  mkdirSync(folder, { recursive: true })
  await layOutSampleProject(folder)
  return folder
}

function schemaFile(path: string): Record<string, unknown> {
  const refuse = (what: string) =>
    new CodexboxError('wrong-use', `--output-schema wants a JSON Schema: ${path} ${what}.`)
  let schema: unknown
  try {
    schema = JSON.parse(readInput(path, MAX_SCHEMA_BYTES).toString('utf8'))
  } catch (error) {
    if (error instanceof CodexboxError) throw error
    throw refuse('is not JSON')
  }
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
    throw refuse('holds no object')
  }
  return { ...schema }
}

const MAX_SCHEMA_BYTES = 1024 * 1024

/** @throws CodexboxError `wrong-use` */
export function timeoutMs(text: string): number {
  const seconds = Number(text)
  if (Number.isFinite(seconds) && seconds > 0 && seconds <= 24 * 3600)
    return Math.ceil(seconds * 1000)
  throw new CodexboxError('wrong-use', `--timeout wants seconds, up to a day; it was "${text}".`)
}
