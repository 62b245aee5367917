import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { GATEWAY_PATH, type Gateway, openGateway } from '../host/gateway/gateway.ts'
import { budgetOf } from '../host/gateway/run-budget.ts'

/** The policy of all benches: the same requests and server, so that their figures can be compared. */
export const runPolicy = {
  conversationId: 'bench',
  model: 'bench-model',
  form: { lite: false, webSearch: false },
}

/** Answers each request with 50 events at once, over plain HTTP; sends its URL to the parent process. */
export async function serveUpstream(address = '127.0.0.1'): Promise<void> {
  const event = `event: response.output_text.delta\ndata: ${JSON.stringify({
    type: 'response.output_text.delta',
    item_id: 'msg_0123456789abcdef',
    output_index: 0,
    content_index: 0,
    delta: ' some words',
  })}\n\n`
  const usage = { input_tokens: 100, output_tokens: 50 }
  const last = `data: ${JSON.stringify({ type: 'response.completed', response: { usage } })}\n\n`
  const server = http.createServer(async (request, response) => {
    request.resume()
    await once(request, 'end')
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (let count = 0; count < 49; count++) response.write(event)
    response.end(last)
  })
  server.listen(0, address)
  await once(server, 'listening')
  process.send?.(`http://${address}:${(server.address() as AddressInfo).port}${GATEWAY_PATH}`)
}

/** The real gateway in front of that server, with a budget for any bench. */
export function openBenchGateway(responsesUrl: string): Promise<Gateway> {
  return openGateway(
    {
      responsesUrl: new URL(responsesUrl),
      headers: { originator: 'bench' },
      settingsFor: () => Promise.reject(new Error('The gateway has no use for them.')),
      owner: 'bench',
      getSecrets: async () => ({ CODEX_ACCESS_TOKEN: 'bench' }),
      close: async () => {},
    },
    { runPolicy, budget: budgetOf({ maxTurns: 100_000, runMs: 3_600_000 }) },
  )
}

/** The first IPC message of a child process. */
export async function firstMessage<T>(child: ChildProcess): Promise<T> {
  const [message] = await once(child, 'message')
  return message as T
}

/**
 * Five consecutive requests of a conversation, about `bytes` long: each adds a turn, which is a call with its
 * output. Callers cycle through them.
 */
export function requestsOf(bytes: number): string[] {
  const turns = Math.round(bytes / JSON.stringify(turn(0)).length)
  return [-2, -1, 0, 1, 2].map((offset) => requestOf(Math.max(1, turns + offset)))
}

function requestOf(turns: number): string {
  return JSON.stringify({
    model: runPolicy.model,
    stream: true,
    store: false,
    tools: [],
    tool_choice: 'auto',
    parallel_tool_calls: true,
    reasoning: {},
    include: ['reasoning.encrypted_content'],
    prompt_cache_key: runPolicy.conversationId,
    input: Array.from({ length: turns }, (_, index) => turn(index)).flat(),
  })
}

function turn(index: number): object[] {
  const call = `call_${index}`
  return [
    { type: 'reasoning', id: `rs_${index}`, summary: [], encrypted_content: 'Q'.repeat(1200) },
    { type: 'function_call', id: `fc_${index}`, call_id: call, name: 'bash', arguments: '{}' },
    { type: 'function_call_output', call_id: call, output: 'const a = "b"\n'.repeat(120) },
  ]
}
