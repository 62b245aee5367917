import type { Item } from '../../shared/items.ts'
import type { ModelForm } from '../../shared/protocol.ts'
import type { ToolResult } from '../worker/tool.ts'
import type { Emit } from './events.ts'
import type { CallItem } from './model-reply.ts'
import { newId } from './repair-item.ts'
import { offeredTools } from './tool-definitions.ts'
import type { WorkerClient } from './worker-client.ts'

export interface ToolCallsOptions {
  form: ModelForm
  worker: WorkerClient
  emit: Emit
  /** Resolves when the host has the event of this number on its disk. */
  acknowledged(seq: number): Promise<void>
  /** Aborted when the run is interrupted: a call that has not started then does not start. */
  signal: AbortSignal
}

/**
 * The calls of one response. Each starts as soon as it arrives, in parallel and while the rest of the
 * answer still streams; the outputs are in the order of the calls, as the service requires.
 */
export class ToolCalls {
  readonly #options: ToolCallsOptions
  readonly #outputs: Promise<Item>[] = []

  constructor(options: ToolCallsOptions) {
    this.#options = options
  }

  get count(): number {
    return this.#outputs.length
  }

  /** `seq`: the number of the event that reported the call to the host. */
  start(call: CallItem, seq: number): void {
    this.#outputs.push(this.#answer(call, seq))
  }

  /** Waits for all. Never rejects: a failing call is an output the model can act on. */
  outputs(): Promise<Item[]> {
    return Promise.all(this.#outputs)
  }

  async #answer(call: CallItem, seq: number): Promise<Item> {
    const { emit, acknowledged, signal } = this.#options
    const { call_id: callId, name } = call
    try {
      await acknowledged(seq)
    } catch {
      return outputItem(call, { output: 'error: not run: the run was interrupted' })
    }
    if (signal.aborted)
      return outputItem(call, { output: 'error: not run: the run was interrupted' })
    const startedAt = performance.now()
    emit({ type: 'tool.started', callId, name, arguments: argumentsOf(call) })
    const onOutput = (text: string) => {
      emit({ type: 'tool.output', callId, text })
    }
    const result = await runCall(call, this.#options, onOutput)
    const durationMs = Math.round(performance.now() - startedAt)
    const { ok, summary } = result
    emit({ type: 'tool.finished', callId, name, ok, summary, durationMs })
    return outputItem(call, result)
  }
}

async function runCall(
  call: CallItem,
  { form, worker }: ToolCallsOptions,
  onOutput: (text: string) => void,
): Promise<ToolResult> {
  const names = offeredTools(form).map(({ name }) => name)
  if (!names.includes(call.name)) {
    return failed(`there is no tool named ${call.name}; the tools are ${names.join(', ')}`)
  }
  if (call.type === 'custom_tool_call') return worker.call(call.name, call.input, onOutput)
  let input: unknown
  try {
    input = JSON.parse(argumentsOf(call))
  } catch {
    return failed('the arguments are not valid JSON; send the call again')
  }
  return worker.call(call.name, input, onOutput)
}

function failed(reason: string): ToolResult {
  return { ok: false, output: `error: ${reason}`, summary: reason }
}

function argumentsOf(call: CallItem): string {
  return String(call.type === 'function_call' ? call.arguments : call.input)
}

function outputItem(
  call: CallItem,
  { output, images }: Pick<ToolResult, 'output' | 'images'>,
): Item {
  const type = `${call.type}_output`
  const parts = images && [
    { type: 'input_text', text: output },
    ...images.map((url) => ({ type: 'input_image', image_url: url, detail: 'auto' })),
  ]
  return { type, id: newId(type), call_id: call.call_id, output: parts ?? output }
}
