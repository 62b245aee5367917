import { setMaxListeners } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../../shared/errors.ts'
import { readLines } from '../../shared/read-lines.ts'
import { boundedResult } from './answer-bounds.ts'
import { LiveOutput } from './live-output.ts'
import { type Session, Sessions } from './sessions.ts'
import {
  freeFormInput,
  ToolArguments,
  type ToolContext,
  ToolError,
  type ToolLimits,
  type ToolResult,
} from './tool.ts'
import { tools } from './tools.ts'

/**
 * The worker process: runs commands and changes files for the agent, as the owner of the workspace, and
 * knows no secret. The lines on stdin: calls and settings.
 */
export type WorkerLine =
  /** Optional, the first line: environment variables of commands beyond the worker's own. */
  | { type: 'environment'; variables: Record<string, string> }
  /** Optional, before any call: the content of `~/.gitconfig`. */
  | { type: 'git-config'; text: string }
  /** `input` is the text for a free-form tool, an object for any other; unchecked. */
  | { type: 'call'; id: number; name: string; input: unknown; limits: ToolLimits }
  /** Ends every running call, and every command that outlived its call. */
  | { type: 'cancel' }
  /** Asks for the commands that outlived their call. */
  | { type: 'sessions' }

/** The lines on stdout. */
export type WorkerAnswer =
  /** Calls are read from now on; once. */
  | { type: 'ready' }
  /** Output of a running call, clipped; any number of times before its result. */
  | { type: 'output'; id: number; text: string }
  | ({ type: 'result'; id: number } & ToolResult)
  | { type: 'sessions'; sessions: Session[] }

/** Of a call: room for a file of 32 MB as JSON text with every character escaped. */
const MAX_CALL_BYTES = 256 * 1024 * 1024

/**
 * Serves calls until stdin ends: the agent is gone then, and all its calls are ended. `proxy` overrides other
 * variables in the environment of commands.
 */
export async function serveWorker(
  workspace: string,
  proxy: Readonly<Record<string, string>>,
): Promise<void> {
  const sessions = new Sessions()
  let environment: NodeJS.ProcessEnv = { ...process.env, ...proxy }
  let cancel = newCancel()
  write({ type: 'ready' })
  for await (const line of readLines(process.stdin, MAX_CALL_BYTES)) {
    const request = JSON.parse(line) as WorkerLine
    switch (request.type) {
      case 'environment':
        environment = { ...process.env, ...request.variables, ...proxy }
        break
      case 'git-config':
        makeGitConfig(request.text)
        break
      case 'cancel':
        cancel.abort()
        cancel = newCancel()
        break
      case 'sessions':
        write({ type: 'sessions', sessions: sessions.running })
        break
      case 'call':
        void answer(request, { workspace, environment, sessions, signal: cancel.signal })
        break
    }
  }
  cancel.abort()
}

function makeGitConfig(text: string): void {
  const { HOME } = process.env
  try {
    if (HOME) writeFileSync(join(HOME, '.gitconfig'), text, { flag: 'wx' })
  } catch {
    // An earlier worker has made it, or the home cannot be written to: git then reports what is missing.
  }
}

/** All parallel calls listen to the same signal; Node warns after ten listeners. */
function newCancel(): AbortController {
  const cancel = new AbortController()
  setMaxListeners(0, cancel.signal)
  return cancel
}

async function answer(
  { id, name, input, limits }: Extract<WorkerLine, { type: 'call' }>,
  common: Pick<ToolContext, 'workspace' | 'environment' | 'sessions' | 'signal'>,
): Promise<void> {
  const live = new LiveOutput(
    (text) => write({ type: 'output', id, text }),
    () => process.stdout.writableNeedDrain,
  )
  const onOutput = (chunk: Buffer) => live.push(chunk)
  const result = await run(name, input, { ...common, limits, onOutput })
  live.end()
  write({ type: 'result', id, ...boundedResult(result, limits) })
}

function write(answer: WorkerAnswer): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}

/** The only place where an error becomes text for the model. */
async function run(name: string, input: unknown, context: ToolContext): Promise<ToolResult> {
  try {
    const tool = tools.find((candidate) => candidate.name === name)
    if (!tool) throw new ToolError(`There is no tool named ${name}.`)
    if ('grammar' in tool) return await tool.run(freeFormInput(input), context)
    return await tool.run(new ToolArguments(input), context)
  } catch (error) {
    const message = messageOf(error)
    return { ok: false, output: `error: ${message}`, summary: firstLine(message) }
  }
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? ''
}
