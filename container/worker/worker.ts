import { setMaxListeners } from 'node:events'
import { messageOf } from '../../shared/errors.ts'
import { readLines } from '../../shared/read-lines.ts'
import { ToolArguments, ToolError, type ToolLimits, type ToolResult } from './tool.ts'
import { tools } from './tools.ts'

/**
 * The hands: a process of its own that runs commands and touches files for the agent, as the owner
 * of the workspace, and knows no secret. Lines on stdin and stdout, one call or one answer each.
 */
export type WorkerLine =
  | { type: 'call'; id: number; name: string; args: unknown; limits: ToolLimits }
  /** Ends every call that is running. */
  | { type: 'cancel' }

export type WorkerAnswer = { id: number } & ToolResult

/** A file of 32 MB as JSON text with every character escaped is still shorter. */
export const MAX_WORKER_LINE_BYTES = 256 * 1024 * 1024

/** Serves calls until stdin ends: the agent is gone then, and so is everything it asked for. */
export async function serveWorker(workspace: string): Promise<void> {
  let cancel = newCancel()
  for await (const line of readLines(process.stdin, MAX_WORKER_LINE_BYTES)) {
    const request = JSON.parse(line) as WorkerLine
    if (request.type === 'cancel') {
      cancel.abort()
      cancel = newCancel()
    } else {
      void answer(request, workspace, cancel.signal)
    }
  }
  cancel.abort()
}

/** As many calls as a model makes at once wait for the same signal; Node warns after ten. */
function newCancel(): AbortController {
  const cancel = new AbortController()
  setMaxListeners(0, cancel.signal)
  return cancel
}

async function answer(
  { id, name, args, limits }: Extract<WorkerLine, { type: 'call' }>,
  workspace: string,
  signal: AbortSignal,
): Promise<void> {
  const result = await run(name, args, { workspace, limits, signal })
  process.stdout.write(`${JSON.stringify({ id, ...result } satisfies WorkerAnswer)}\n`)
}

/** The one place where a throw becomes text for the model. */
async function run(
  name: string,
  args: unknown,
  context: { workspace: string; limits: ToolLimits; signal: AbortSignal },
): Promise<ToolResult> {
  try {
    const tool = tools.find((candidate) => candidate.name === name)
    if (!tool) throw new ToolError(`There is no tool named ${name}.`)
    return await tool.run(new ToolArguments(args), context)
  } catch (error) {
    const message = messageOf(error)
    return { ok: false, output: `error: ${message}`, summary: firstLine(message) }
  }
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? ''
}
