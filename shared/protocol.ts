import { z } from 'zod'
import { CLIENT_VERSION } from './client-version.ts'
import { IMAGE_URL } from './image-url.ts'
import { Item } from './items.ts'
import { Limits } from './limits.ts'
import { PROTOCOL_VERSION } from './protocol-version.ts'

/**
 * The only place where host and container meet: JSON lines, host to container on stdin, container to
 * host on stdout. One container serves one conversation; each prompt in it is a run with its own id
 * and exactly one terminal event.
 *
 * The schemas are the definition. The host parses with them; the container imports the types only.
 */

const epochMs = z.number().int().nonnegative()
const count = z.number().int().nonnegative()

// ---- host to container ----

/** Secrets travel here and nowhere else: no env, argv, file, image or log. */
export const SecretsLine = z.object({
  CODEX_ACCESS_TOKEN: z.string().min(1),
  CODEX_ACCOUNT_ID: z.string().min(1).optional(),
})

/** Node's timers take 31 bits of milliseconds and fire at once above. */
const bound = z
  .number()
  .int()
  .positive()
  .max(2 ** 30)

/** Bounds of a run, at most 2^30 each. Times in milliseconds, sizes in bytes. */
export const RunLimits = z.object({
  /** Model requests in one run. */
  maxTurns: bound,
  /** Wall time of one run. */
  runMs: bound,
  /** How long a container waits for the next prompt before it exits. */
  idleMs: bound,
  /** How long the first event of an answer may take, from sending the request. */
  firstEventMs: bound,
  /** Silence on the model's stream after that; longer silence counts as a cut. */
  streamIdleMs: bound,
  /** Wall time of one tool call. */
  toolMs: bound,
  /** Tool output shown to the model; more is cut from the middle. */
  toolOutputBytes: bound,
})
export type RunLimits = z.infer<typeof RunLimits>

/** The shape of requests to a model; the host reads it from the model's catalogue entry. */
export const ModelForm = z.object({
  /** The tools are in the first item of `input`, not in `tools`, and are called one at a time. */
  lite: z.boolean(),
  /** Whether the free-form `apply_patch` is offered. */
  applyPatch: z.boolean(),
  /** Whether the model takes images. */
  images: z.boolean(),
  /** Whether the service may search the web for the model. */
  webSearch: z.boolean(),
  /** `trigger`: the service folds the history into one sealed item; `summary`: the model writes one. */
  compaction: z.enum(['trigger', 'summary']),
  /** The number of tokens at which a conversation is compacted. Absent: only when it no longer fits. */
  compactAtTokens: bound.optional(),
  /**
   * The oldest Codex CLI that may use this model, by the list of the service. The version is sent only
   * after a request was refused without it. Absent: not listed, or without such a bound.
   */
  minimalClientVersion: z.string().regex(CLIENT_VERSION).optional(),
})
export type ModelForm = z.infer<typeof ModelForm>

/** The fields that start a run. */
const runStart = {
  runId: z.string().min(1),
  /** Absent: continue where the history ends. */
  prompt: z.string().min(1).optional(),
  /** Images for the prompt, as data URLs. */
  images: z.array(z.string().regex(IMAGE_URL)).optional(),
  secrets: SecretsLine,
}

/** The first line on stdin: everything the container needs to start its first run. */
export const RunRequest = z.object({
  version: z.literal(PROTOCOL_VERSION),
  ...runStart,
  /** Names the conversation to the service: thread id and prompt cache key. At most 64 characters. */
  conversationId: z.string().min(1).max(64),
  /** Earlier items of the conversation, oldest first, ready to be sent. */
  history: z.array(Item),
  /** The service's token count of the history, if known. */
  historyTokens: count.optional(),
  endpoint: z.object({
    /** The full URL of the Responses endpoint. */
    url: z.string(),
    /** Unix socket of the gateway (sealed mode). */
    socketPath: z.string().optional(),
    /** Headers that are sent unchanged: the client's identity. Never a secret. */
    headers: z.record(z.string(), z.string()),
  }),
  model: z.string().min(1),
  form: ModelForm,
  /** The developer message at the head of every request. */
  instructions: z.string(),
  reasoning: z.object({ effort: z.string().optional(), summary: z.string().optional() }),
  verbosity: z.string().optional(),
  /** JSON Schema the last message of each run has to follow. */
  outputSchema: z.record(z.string(), z.unknown()).optional(),
  /**
   * The host acknowledges each call item with `kept` when it is on its disk, and no tool starts before:
   * after a crash, the session log lacks no call that was run.
   */
  confirmsCalls: z.boolean().optional(),
  /** Where the tools work, as the container sees it. */
  workspace: z.string().min(1),
  /** Unix socket of a proxy for the tools, where they have no network; HTTPS_PROXY leads to it. */
  egressSocketPath: z.string().min(1).optional(),
  /**
   * Environment variables of the tools' commands beyond the agent's own. No process of ours ever gets them: a variable
   * may name code to be run, such as `NODE_OPTIONS`.
   */
  toolEnvironment: z.record(z.string(), z.string()).optional(),
  /** The content of the tools' `~/.gitconfig`, unless the file exists: the author of their commits. */
  gitConfig: z.string().min(1).optional(),
  /**
   * The user who runs the tools, isolated from the agent; absent: the agent's own user, without isolation.
   * `isExclusive`: that user runs nothing else in the container, so every process of that user is ended with
   * the run.
   */
  worker: z.object({ uid: count, gid: count, isExclusive: z.boolean().optional() }).optional(),
  limits: RunLimits,
})
export type RunRequest = z.infer<typeof RunRequest>

/** Every later line on stdin. The end of stdin means the host is gone: the container exits at once. */
export const HostLine = z.discriminatedUnion('type', [
  /** Starts the next run; only after `finished`. */
  z.object({ type: z.literal('prompt'), ...runStart }),
  /** A message to the model during a run; it is delivered at the next tool boundary. */
  z.object({ type: z.literal('message'), text: z.string().min(1) }),
  /** Ends the current run with `interrupted` and a history that the next run can continue. */
  z.object({ type: z.literal('interrupt') }),
  /** The answer to `secrets.needed`. */
  z.object({ type: z.literal('secrets'), secrets: SecretsLine }),
  /** The events up to `seq` are on the host's disk; see `confirmsCalls`. */
  z.object({ type: z.literal('kept'), seq: count }),
  /** No more prompts will come: exit when the current run has ended. */
  z.object({ type: z.literal('close') }),
])
export type HostLine = z.infer<typeof HostLine>

// ---- container to host ----

export const Usage = z.object({
  inputTokens: count,
  /** The part of `inputTokens` that the service had cached. */
  cachedInputTokens: count,
  outputTokens: count,
  /** The part of `outputTokens` spent on reasoning. */
  reasoningTokens: count,
})
export type Usage = z.infer<typeof Usage>

export const RunFailure = z.object({
  /** An `ErrorCode`; a reader must expect codes it does not know. */
  code: z.string(),
  message: z.string(),
  /** When a retry makes sense, if the service said so. */
  retryAt: epochMs.optional(),
  /** When the usage limit is lifted. */
  resetsAt: epochMs.optional(),
})
export type RunFailure = z.infer<typeof RunFailure>

export const RunStatus = z.enum(['done', 'turn-limit', 'interrupted', 'failed'])
export type RunStatus = z.infer<typeof RunStatus>

/** The fields of every event: protocol version, position in the container's output, and the run. */
const head = { v: z.literal(PROTOCOL_VERSION), seq: z.number().int().positive(), runId: z.string() }

export const RunEvent = z.discriminatedUnion('type', [
  z.object({
    ...head,
    type: z.literal('started'),
    model: z.string(),
    /** Whether the tools are isolated from the memory and the output of the agent, which holds the secrets. */
    toolsIsolated: z.boolean(),
  }),
  z.object({ ...head, type: z.literal('text.delta'), text: z.string() }),
  z.object({ ...head, type: z.literal('reasoning.delta'), text: z.string() }),
  /** A finished Responses item, ours or the model's; the session log stores it. */
  z.object({ ...head, type: z.literal('item'), item: Item }),
  z.object({
    ...head,
    type: z.literal('tool.started'),
    callId: z.string(),
    name: z.string(),
    /** JSON text as the model wrote it; it may be invalid. */
    arguments: z.string(),
  }),
  /** The output of a tool since the last such event; a part of a flood is left out. */
  z.object({ ...head, type: z.literal('tool.output'), callId: z.string(), text: z.string() }),
  z.object({
    ...head,
    type: z.literal('tool.finished'),
    callId: z.string(),
    name: z.string(),
    ok: z.boolean(),
    /** One line for the user; the complete output is in the `function_call_output` item. */
    summary: z.string(),
    durationMs: z.number().nonnegative(),
  }),
  /** After each model response. */
  z.object({
    ...head,
    type: z.literal('usage'),
    usage: Usage,
    /** From sending the request to the first event of the stream. */
    firstEventMs: z.number().nonnegative(),
    /** The model that answered, if it is not the requested one. */
    servedBy: z.string().optional(),
  }),
  /** The limits of the plan, as reported with an answer or a refusal. */
  z.object({ ...head, type: z.literal('limits'), limits: Limits }),
  z.object({
    ...head,
    type: z.literal('retry'),
    attempt: z.number().int().positive(),
    delayMs: z.number().nonnegative(),
    reason: RunFailure,
    /** Text shown since the last `item` belongs to a broken answer and will come again. */
    discardsText: z.boolean(),
  }),
  /** A fact about the run that the user should know. */
  z.object({ ...head, type: z.literal('notice'), message: z.string() }),
  /** The conversation was repaired so that it can go on. */
  z.object({
    ...head,
    type: z.literal('repair'),
    message: z.string(),
    /** Dropped from all earlier items: the service cannot read the reasoning, or refuses an image. */
    drops: z.enum(['reasoning', 'images']).optional(),
  }),
  /** From here on the conversation is `items`, which replace all earlier items. */
  z.object({
    ...head,
    type: z.literal('compacted'),
    items: z.array(Item),
    tokensBefore: count,
    tokensAfter: count,
  }),
  /** The service refused the token; the run waits for a `secrets` line (direct mode). */
  z.object({ ...head, type: z.literal('secrets.needed') }),
  /**
   * Autorun files that changed in the run: the user's own tools may run commands from them later, unasked.
   * Also the files that could not be scanned. The host emits it just before the end.
   */
  z.object({
    ...head,
    type: z.literal('planted'),
    /**
     * The most dangerous first, and of each kind at least one. `path` is below the workspace; `why` tells which program
     * runs it and when, or why it was not read to its end (of the kind `unread`).
     */
    paths: z.array(z.object({ path: z.string(), why: z.string(), kind: z.string() })),
    /** How many there are of each kind, in the same order. */
    kinds: z.array(z.object({ kind: z.string(), count })),
    /** How many are not in `paths`. */
    more: count,
  }),
  /** The one terminal event of a run. */
  z.object({
    ...head,
    type: z.literal('finished'),
    status: RunStatus,
    error: RunFailure.optional(),
    /** Sums over the run. */
    usage: Usage,
    turns: count,
    toolCalls: count,
    durationMs: z.number().nonnegative(),
  }),
])
export type RunEvent = z.infer<typeof RunEvent>
export type FinishedEvent = Extract<RunEvent, { type: 'finished' }>

type Body<E> = E extends RunEvent ? Omit<E, keyof typeof head> : never
/** An event without the fields of every event. */
export type EventBody = Body<RunEvent>
