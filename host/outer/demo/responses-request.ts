import { z } from 'zod'
import { Item } from '../../../shared/items.ts'

/** The fields that the script reads. */
const ResponsesRequest = z.looseObject({
  model: z.string().min(1),
  input: z.union([z.string(), z.array(Item)]),
  instructions: z.string().nullish(),
  tools: z.array(z.looseObject({ name: z.string().optional() })).default([]),
  include: z.array(z.string()).default([]),
  prompt_cache_key: z.string().optional(),
})
export type ResponsesRequest = z.infer<typeof ResponsesRequest>

/** The parameters that the service accepts; the public API accepts more. */
const PARAMETERS = new Set([
  ...Object.keys(ResponsesRequest.shape),
  'client_metadata',
  'parallel_tool_calls',
  'reasoning',
  'service_tier',
  'store',
  'stream',
  'text',
  'tool_choice',
])

/** A response that is no stream: status and JSON body. */
export interface Refusal {
  status: number
  body: object
}

export const DEMO_MODEL = 'demo-script'

/** Validates a request as the service does, with the service's error messages where they are known. */
export function readResponsesRequest(
  text: string,
): { request: ResponsesRequest } | { refusal: Refusal } {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return badRequest('We could not parse the JSON body of your request.', null)
  }
  const unknown = Object.keys(Object(body)).find((name) => !PARAMETERS.has(name))
  if (unknown) return detail(`Unsupported parameter: ${unknown}`)
  const parsed = ResponsesRequest.safeParse(body)
  if (!parsed.success) {
    const param = parsed.error.issues[0]?.path.join('.') || null
    return badRequest(`Missing or invalid parameter: '${param ?? 'body'}'.`, param)
  }
  const request = parsed.data
  if (request.store !== false) return detail('Store must be set to false')
  if (request.stream !== true) return detail('Stream must be set to true')
  if (request.model !== DEMO_MODEL) {
    const message = `The model '${request.model}' does not exist or you do not have access to it. The demo has one: ${DEMO_MODEL}.`
    return { refusal: { status: 404, body: errorBody(message, null, 'model_not_found') } }
  }
  const orphan = orphanIn(request.input)
  return orphan ? badRequest(orphan, 'input') : { request }
}

export function errorBody(message: string, param: string | null, code: string | null): object {
  return { error: { message, type: 'invalid_request_error', param, code } }
}

function badRequest(message: string, param: string | null): { refusal: Refusal } {
  return { refusal: { status: 400, body: errorBody(message, param, null) } }
}

/** The service's short error form, for parameters with one legal value. */
function detail(text: string): { refusal: Refusal } {
  return { refusal: { status: 400, body: { detail: text } } }
}

/** The error for a call without its output, or an output without its call. */
function orphanIn(input: ResponsesRequest['input']): string | undefined {
  if (typeof input === 'string') return undefined
  const idsOf = (type: string) =>
    new Set(input.filter((item) => item.type === type).map((item) => item.call_id))
  const calls = idsOf('function_call')
  const outputs = idsOf('function_call_output')
  for (const id of calls) {
    if (!outputs.has(id)) return `No tool output found for function call ${id}.`
  }
  for (const id of outputs) {
    if (!calls.has(id)) return `No tool call found for function call output with call_id ${id}.`
  }
  return undefined
}
