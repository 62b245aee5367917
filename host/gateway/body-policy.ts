import { isUtf8 } from 'node:buffer'
import { z } from 'zod'
import { IMAGE_URL } from '../../shared/image-url.ts'
import type { ModelForm } from '../../shared/protocol.ts'
import { hasNoRemoteReference } from '../../shared/remote-references.ts'
import { appendedItems } from './appended-items.ts'

/** The limits on requests of one conversation. */
export interface RunPolicy {
  conversationId: string
  model: string
  form: Pick<ModelForm, 'lite' | 'webSearch' | 'minimalClientVersion'>
}

/** Takes the body as received; the returned `body` may go to the service. */
export type BodyPolicy = (body: Buffer) => { body: Buffer } | { refused: string }

/**
 * Checks what a container may send to the service, which can do more than answer: fetch addresses,
 * run code, store data, call other servers. Only the features that our agent uses pass, and only with
 * this conversation's own values. A body is checked and then serialised again: a duplicate key, for
 * example, must not mean one value here and another to the service. A body written by
 * `JSON.stringify`, as our agent's are, comes out byte for byte the same; if it extends the previous
 * body, only its new items are checked.
 */
export function bodyPolicy(runPolicy: RunPolicy): BodyPolicy {
  const items = itemsSchema(runPolicy)
  const request = requestSchema(runPolicy, items)
  let last: Buffer | undefined

  const onlyAppendsAllowedItems = (body: Buffer) => {
    const added = last && appendedItems(last, body)
    return added && items.safeParse(added).success && findRemoteReference(added as Items) < 0
  }

  return (body) => {
    if (isCrowded(body)) return { refused: 'the body has too many parts' }
    try {
      if (onlyAppendsAllowedItems(body)) {
        last = body
        return { body }
      }
      const text = body.toString()
      const value: unknown = JSON.parse(text)
      const { success, error } = request.safeParse(value)
      if (!success) return { refused: describeIssue(error.issues[0]) }
      const { input } = value as { input: Items }
      const index = findRemoteReference(input)
      if (index >= 0) return { refused: `input.${index}: ${IS_REMOTE}` }
      const checked = JSON.stringify(value)
      if (checked !== text || !isUtf8(body)) return { body: Buffer.from(checked) }
      // The form that `appendedItems` needs.
      if (Object.keys(value as object).at(-1) === 'input' && input.length > 0) last = body
      return { body }
    } catch (error) {
      // The nesting is so deep that serialising it exhausts the stack.
      if (error instanceof RangeError) return { refused: 'the body is nested too deeply' }
      if (error instanceof SyntaxError) return { refused: 'the body is no JSON' }
      throw error
    }
  }
}

/** The header that goes with the form of the request; see `requestSchema`. */
export const LITE_HEADER = 'x-openai-internal-codex-responses-lite'

/** Tells the service the client's version; see `ModelForm.minimalClientVersion`. */
export const CLIENT_VERSION_HEADER = 'version'

/** Why the headers must not be forwarded to the service; undefined when they may. */
export function headerRefusal(headers: NodeJS.Dict<string | string[]>, runPolicy: RunPolicy) {
  for (const name of ['session-id', 'thread-id']) {
    const value = headers[name]
    if (value !== undefined && value !== runPolicy.conversationId) {
      return `${name} is not that of this conversation`
    }
  }
  const lite = headers[LITE_HEADER]
  if (lite !== undefined && !(lite === 'true' && runPolicy.form.lite)) {
    return `${LITE_HEADER} is not for this model`
  }
  const version = headers[CLIENT_VERSION_HEADER]
  if (version !== undefined && version !== runPolicy.form.minimalClientVersion) {
    return `${CLIENT_VERSION_HEADER} is not the one that this model asks for`
  }
  return undefined
}

// ---- the request ----

function requestSchema(
  { conversationId, model, form }: RunPolicy,
  input: ReturnType<typeof itemsSchema>,
) {
  return z.strictObject({
    model: z.literal(model),
    stream: z.literal(true),
    store: z.literal(false),
    ...(form.lite
      ? {}
      : { tools: z.array(z.discriminatedUnion('type', [...ownTools, ...hostedTools(form)])) }),
    tool_choice: z.literal('auto'),
    parallel_tool_calls: z.boolean(),
    reasoning: z.strictObject({
      effort: word.optional(),
      summary: word.optional(),
      context: z.literal('all_turns').optional(),
    }),
    include: z.tuple([z.literal('reasoning.encrypted_content')]),
    prompt_cache_key: z.literal(conversationId),
    text: z
      .strictObject({
        verbosity: word.optional(),
        format: z
          .strictObject({
            type: z.literal('json_schema'),
            strict: z.literal(true),
            schema: jsonSchema,
            name: word,
          })
          .optional(),
      })
      .optional(),
    input,
  })
}

function itemsSchema({ form }: RunPolicy) {
  return z.array(
    z.discriminatedUnion('type', [
      ...ownItems,
      ...modelItems,
      z.discriminatedUnion('role', [...ownMessages, assistantMessage]),
      ...(form.lite ? [additionalTools([...ownTools, ...hostedTools(form)])] : []),
    ]),
  )
}

const word = z.string().max(64)
const id = z.string().max(256)
/** Any schema passes: it affects only the model. */
const jsonSchema = z.record(z.string(), z.unknown())

// ---- tools ----

const ownTools = [
  z.strictObject({
    type: z.literal('function'),
    name: word,
    description: z.string(),
    strict: z.boolean(),
    parameters: jsonSchema,
  }),
  z.strictObject({
    type: z.literal('custom'),
    name: word,
    description: z.string(),
    format: z.strictObject({
      type: z.literal('grammar'),
      syntax: z.literal('lark'),
      definition: z.string(),
    }),
  }),
] as const

/** The only action that the service may take besides answering, and only at the user's request. */
const WebSearch = z.strictObject({
  type: z.literal('web_search'),
  external_web_access: z.boolean(),
  search_content_types: z.array(z.enum(['text', 'image'])),
})

const hostedTools = ({ webSearch }: RunPolicy['form']) => (webSearch ? [WebSearch] : [])

/** The item that lists its tools to a lite model. */
function additionalTools([first, ...rest]: [...typeof ownTools, ...(typeof WebSearch)[]]) {
  const namespace = z.strictObject({
    type: z.literal('namespace'),
    name: word,
    description: z.string(),
    tools: z.array(z.discriminatedUnion('type', ownTools)),
  })
  return z.strictObject({
    type: z.literal('additional_tools'),
    id,
    role: z.literal('developer'),
    tools: z.array(z.discriminatedUnion('type', [namespace, first, ...rest])),
  })
}

// ---- items of the agent: no unknown fields ----

/** The service would fetch any address; an image has to be inline. */
const ownParts = z.array(
  z.discriminatedUnion('type', [
    z.strictObject({ type: z.literal('input_text'), text: z.string() }),
    z.strictObject({
      type: z.literal('input_image'),
      image_url: z.string().regex(IMAGE_URL, 'an image is a data: URL of one here'),
      detail: word.optional(),
    }),
  ]),
)

const ownMessage = <R extends string>(role: R) =>
  z.strictObject({
    type: z.literal('message'),
    id: id.optional(),
    role: z.literal(role),
    content: ownParts,
  })
const ownMessages = [ownMessage('user'), ownMessage('developer')] as const

const output = <T extends string>(type: T) =>
  z.strictObject({
    type: z.literal(type),
    id: id.optional(),
    call_id: id,
    output: z.union([z.string(), ownParts]),
  })

const ownItems = [
  output('function_call_output'),
  output('custom_tool_call_output'),
  z.strictObject({ type: z.literal('compaction_trigger') }),
] as const

// ---- items of the model, sent back unchanged ----

/** Unknown fields pass, so that a new field of the service ends no conversation; see `findRemoteReference`. */
const fromModel = <T extends string, S extends z.ZodRawShape>(type: T, shape: S) =>
  z.looseObject({ type: z.literal(type), id: id.optional(), ...shape })

const assistantMessage = fromModel('message', {
  role: z.literal('assistant'),
  content: z.array(z.looseObject({ type: z.enum(['output_text', 'refusal']) })),
})

const modelItems = [
  fromModel('reasoning', {}),
  fromModel('function_call', { call_id: id, arguments: z.string() }),
  fromModel('custom_tool_call', { call_id: id, input: z.string() }),
  fromModel('web_search_call', {}),
  fromModel('compaction', {}),
] as const

const MODEL_MADE = new Set<string>(modelItems.map(({ shape }) => shape.type.value))

type Items = { type: string; role?: unknown }[]

const IS_REMOTE = 'it names something that the service would fetch or use'

/**
 * The index of the first item of the model with a reference that the service would follow; -1 for none. Searches
 * the parsed JSON and not the schema's output, which drops a key `__proto__`.
 */
function findRemoteReference(items: Items): number {
  return items.findIndex(
    (item) =>
      (MODEL_MADE.has(item.type) || item.role === 'assistant') && !hasNoRemoteReference(item),
  )
}

// ---- faults ----

/** The path and the fault; no values, only names of keys. */
function describeIssue(issue: z.core.$ZodIssue | undefined): string {
  if (!issue) return 'the body'
  const path = issue.path.map(String).join('.')
  const message = path ? `${path}: ${issue.message}` : issue.message
  return message.length > 300 ? `${message.slice(0, 300)}…` : message
}

/** Larger bodies are scanned before they are parsed. */
const LARGE_BYTES = 8 * 1024 * 1024
/** Far more than any conversation has. */
const MAX_PARTS = 2_000_000

/**
 * Whether a body has so many parts outside of strings that parsing would fill the memory: `[],[],…`
 * grows to many times its size. Images and texts may be long.
 */
function isCrowded(body: Buffer): boolean {
  if (body.length < LARGE_BYTES) return false
  let parts = 0
  for (let at = 0; at < body.length && parts <= MAX_PARTS; at++) {
    if (body[at] === QUOTE) at = endOfString(body, at)
    else parts++
  }
  return parts > MAX_PARTS
}

const QUOTE = 0x22
const BACKSLASH = 0x5c

function endOfString(body: Buffer, begin: number): number {
  for (let end = body.indexOf(QUOTE, begin + 1); end > 0; end = body.indexOf(QUOTE, end + 1)) {
    let escapes = 0
    while (body[end - 1 - escapes] === BACKSLASH) escapes++
    if (escapes % 2 === 0) return end
  }
  return body.length
}
