import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Item } from '../../shared/items.ts'
import { type StreamEvent, sse, USAGE } from '../fakes/model-server.ts'
import { refusalOf } from '../fakes/service-rules.ts'

/** What the model has done for a task: turns, each with the names of steps that are done side by side. */
export type Plan = readonly (readonly string[])[]

/** What the model says when nothing of the plan is left. */
export const LAST_WORDS = 'Finished.'

export interface PlannedModel {
  /** Where it listens. */
  readonly url: string
  /** Why requests were refused. */
  readonly refusals: readonly string[]
  /** The `input` of the newest request for a task. */
  lastInput(task: string): readonly Item[]
  close(): Promise<void>
}

/** What one does for a task begins with this line; everything before it in a history is over. */
export const promptFor = (task: string) => `Task ${task}.`

/**
 * The command of a step, for `step` in the workspace. It says everything twice: a command with one
 * wrong bit does nothing.
 */
export const commandOf = (task: string, step: string) => `./step ${task}:${step} ${task}:${step}`

/** What `step` is: leaves a line in `lines` when its two arguments are the same. */
export const stepScript = (before = '', after = '') => `#!/bin/bash
[ $# = 2 ] && [ "$1" = "$2" ] || exit 3
${before}
printf '%s\\n' "$1" >>lines
${after}
`

/**
 * A model that is as stateless as the service: what it answers follows from `input` alone, so repeats
 * and resumed sessions get the right answer. It asks for the steps of the first turn that is not done,
 * again for those that failed or of which it is not known; then it says its last words. Nothing it
 * says has an id it has given before. A history that the service would refuse gets a 400.
 */
export async function startPlannedModel(plan: Plan): Promise<PlannedModel> {
  const refusals: string[] = []
  const inputs = new Map<string, readonly Item[]>()
  let answers = 0

  const server = createServer(async (request, response) => {
    const body = JSON.parse(await textOf(request)) as { input: Item[] }
    const header = (name: string) => request.headers[name]?.toString()
    const refused = refusalOf({ header, body })
    if (refused) {
      refusals.push(JSON.stringify(refused.body))
      response.writeHead(refused.status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(refused.body))
      return
    }
    const { input } = body
    const { task, items } = currentTask(input)
    inputs.set(task, input)
    const done = doneSteps(task, items)
    const turn = plan.find((steps) => !steps.every((step) => done.has(step))) ?? []
    const left = turn.filter((step) => !done.has(step))
    answers++
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    // Each event by itself: as the service writes.
    for (const event of answer(task, left, String(answers).padStart(7, '0'))) {
      response.write(sse([event]))
    }
    response.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/responses`,
    refusals,
    lastInput: (task) => inputs.get(task) ?? [],
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

function currentTask(input: readonly Item[]): { task: string; items: readonly Item[] } {
  const start = input.findLastIndex(({ role }) => role === 'user')
  const [part] = (input[start]?.content ?? []) as { text?: string }[]
  return { task: /^Task (\S+)\./.exec(part?.text ?? '')?.[1] ?? '', items: input.slice(start + 1) }
}

/** Those that ended well, as far as the history says. */
function doneSteps(task: string, items: readonly Item[]): Set<string> {
  const commands = new Map<unknown, string>()
  const done = new Set<string>()
  for (const { type, call_id: callId, arguments: text, output } of items) {
    if (type === 'function_call') commands.set(callId, commandIn(String(text)))
    if (type !== 'function_call_output' || !/^exit code: 0\n/.test(String(output))) continue
    const command = commands.get(callId) ?? ''
    const step = command.slice(command.lastIndexOf(':') + 1)
    if (command === commandOf(task, step)) done.add(step)
  }
  return done
}

/** The command of a call of bash; empty when it cannot be read. */
export function commandIn(args: string): string {
  try {
    return String((JSON.parse(args) as { command?: unknown }).command)
  } catch {
    return ''
  }
}

function answer(task: string, steps: readonly string[], number: string): StreamEvent[] {
  const id = `resp_${number}`
  const reasoning = {
    type: 'reasoning',
    id: `rs_${number}`,
    summary: [{ type: 'summary_text', text: '**Planning**' }],
    encrypted_content: `gAAAA-sealed-${number}`,
  }
  const items: Item[] = [reasoning]
  if (steps.length === 0) items.push(message(number, LAST_WORDS))
  // A word before the first calls, as models do.
  if (steps.length === 1) items.push(message(number, 'Working on it.'))
  for (const [index, step] of steps.entries()) {
    items.push({
      type: 'function_call',
      id: `fc_${number}${index}`,
      call_id: `call_${number}${index}`,
      name: 'bash',
      status: 'completed',
      arguments: JSON.stringify({ command: commandOf(task, step) }),
    })
  }
  return [
    { type: 'response.created', response: { id, status: 'in_progress' } },
    ...items.flatMap((item, index) => [
      { type: 'response.output_item.added', output_index: index, item: { type: item.type } },
      ...deltas(item),
      { type: 'response.output_item.done', output_index: index, item },
    ]),
    { type: 'response.completed', response: { id, status: 'completed', usage: USAGE } },
  ]
}

function deltas(item: Item): StreamEvent[] {
  if (item.type !== 'message') return []
  const [{ text }] = item.content as [{ text: string }]
  return [{ type: 'response.output_text.delta', item_id: item.id, delta: text }]
}

function message(number: string, text: string): Item {
  return {
    type: 'message',
    id: `msg_${number}`,
    role: 'assistant',
    status: 'completed',
    content: [{ type: 'output_text', text, annotations: [] }],
  }
}
