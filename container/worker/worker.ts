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
 * The hands: a process of its own that runs commands and touches files for the agent, as the owner
 * of the workspace, and knows no secret. Lines on stdin and stdout: calls, and what comes of them.
 */
export type WorkerLine =
  /** First of all, if at all: what commands have in their environment beyond the worker's own. */
  | { type: 'environment'; variables: Record<string, string> }
  /** Before any call: what `~/.gitconfig` is to hold. */
  | { type: 'git-config'; text: string }
  /** `input` is the text for a free-form tool, an object for any other; nothing of it is checked. */
  | { type: 'call'; id: number; name: string; input: unknown; limits: ToolLimits }
  /** Ends every call that is running, and every command that outlived its call. */
  | { type: 'cancel' }
  /** Asks for the commands that outlived their call. */
  | { type: 'sessions' }

export type WorkerAnswer =
  /** Calls are heard from now on; once. */
  | { type: 'ready' }
  /** What a running call has put out, thinned; any number of times before its result. */
  | { type: 'output'; id: number; text: string }
  | ({ type: 'result'; id: number } & ToolResult)
  | { type: 'sessions'; sessions: Session[] }

/** Of a call: a file of 32 MB as JSON text with every character escaped is still shorter. */
const MAX_CALL_BYTES = 256 * 1024 * 1024

/**
 * Serves calls until stdin ends: the agent is gone then, and so is everything it asked for. `proxy` is set in the
 * environment of commands, whatever else is.
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
    // A worker before this one has made it, or the home cannot be written to: git says then what it lacks.
  }
}

/** As many calls as a model makes at once wait for the same signal; Node warns after ten. */
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

/** The one place where a throw becomes text for the model. */
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
