import { randomUUID } from 'node:crypto'
import type { Item } from '../../shared/items.ts'
import type { ToolResult } from '../worker/tool.ts'
import { tools } from '../worker/tools.ts'
import type { Emit } from './events.ts'
import type { CallItem } from './model-reply.ts'
import type { WorkerClient } from './worker-client.ts'

/** The tools as the model is told of them. */
export const toolDefinitions = tools.map(({ name, description, parameters }) => ({
  type: 'function',
  name,
  description,
  strict: false,
  parameters,
}))

/**
 * Runs the calls of one response side by side; the outputs come back in the order of the calls, as
 * the service wants them. Never rejects: a failing call is an output the model can act on.
 */
export function answerCalls(
  calls: readonly CallItem[],
  worker: WorkerClient,
  emit: Emit,
): Promise<Item[]> {
  return Promise.all(
    calls.map(async (call) => {
      const started = performance.now()
      const { call_id: callId, name } = call
      emit({ type: 'tool.started', callId, name, arguments: argumentsOf(call) })
      const result = await runCall(call, worker)
      const durationMs = Math.round(performance.now() - started)
      emit({
        type: 'tool.finished',
        callId,
        name,
        ok: result.ok,
        summary: result.summary,
        durationMs,
      })
      return outputItem(call, result.output)
    }),
  )
}

/** Outputs for calls that will not be run: a call without an output makes the history unusable. */
export function declineCalls(calls: readonly CallItem[], reason: string): Item[] {
  return calls.map((call) => outputItem(call, `error: not run: ${reason}`))
}

async function runCall(call: CallItem, worker: WorkerClient): Promise<ToolResult> {
  if (!tools.some((tool) => tool.name === call.name)) {
    const names = tools.map((tool) => tool.name).join(', ')
    return failed(`there is no tool named ${call.name}; the tools are ${names}`)
  }
  let args: unknown
  try {
    args = JSON.parse(argumentsOf(call))
  } catch {
    return failed('the arguments are not valid JSON; send the call again')
  }
  return worker.call(call.name, args)
}

function failed(reason: string): ToolResult {
  return { ok: false, output: `error: ${reason}`, summary: reason }
}

function argumentsOf(call: CallItem): string {
  return String(call.type === 'function_call' ? call.arguments : call.input)
}

function outputItem(call: CallItem, output: string): Item {
  const kind =
    call.type === 'function_call'
      ? { type: 'function_call_output', id: `fco_${randomUUID()}` }
      : { type: 'custom_tool_call_output', id: `ctco_${randomUUID()}` }
  return { ...kind, call_id: call.call_id, output }
}
