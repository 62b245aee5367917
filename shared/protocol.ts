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
  /** How long a container waits for the next prompt before it leaves. */
  idleMs: bound,
  /** How long the first event of an answer may take, from sending the request. */
  firstEventMs: bound,
  /** Silence on the model's stream after that, which counts as a cut. */
  streamIdleMs: bound,
  /** Wall time of one tool call. */
  toolMs: bound,
  /** Tool output shown to the model; more is cut from the middle. */
  toolOutputBytes: bound,
})
export type RunLimits = z.infer<typeof RunLimits>

/** What requests to a model look like; the host knows it from the model's catalogue entry. */
export const ModelForm = z.object({
  /** The tools stand in the first item of `input`, not in `tools`, and are called one at a time. */
  lite: z.boolean(),
  /** Whether the free-form `apply_patch` is offered. */
  applyPatch: z.boolean(),
  /** Whether the model takes images. */
  images: z.boolean(),
  /** Whether the service may search the web for the model. */
  webSearch: z.boolean(),
  /** `trigger`: the service folds the history into one sealed item; `summary`: the model writes one. */
  compaction: z.enum(['trigger', 'summary']),
  /** Tokens of a conversation from which on it is compacted. Absent: only when it no longer fits. */
  compactAtTokens: bound.optional(),
  /**
   * The oldest Codex CLI that may ask this model, by the list of the service. It is named only where
   * a request was refused for the want of it. Absent: not listed, or without such a bound.
   */
  minimalClientVersion: z.string().regex(CLIENT_VERSION).optional(),
})
export type ModelForm = z.infer<typeof ModelForm>

/** What a run begins with. */
const beginning = {
  runId: z.string().min(1),
  /** Absent: go on where the history ends. */
  prompt: z.string().min(1).optional(),
  /** Images for the prompt, as data URLs. */
  images: z.array(z.string().regex(IMAGE_URL)).optional(),
  secrets: SecretsLine,
}

/** The first line on stdin: everything the container needs to start its first run. */
export const RunRequest = z.object({
  version: z.literal(PROTOCOL_VERSION),
  ...beginning,
  /** Names the conversation to the service: thread id and prompt cache key. At most 64 characters. */
  conversationId: z.string().min(1).max(64),
  /** Earlier items of the conversation, oldest first, ready to be sent. */
  history: z.array(Item),
  /** What the service counted for the history, as far as that is known. */
  historyTokens: count.optional(),
  endpoint: z.object({
    /** The full URL of the Responses endpoint. */
    url: z.string(),
    /** Unix socket to reach it by (sealed mode). */
    socketPath: z.string().optional(),
    /** Headers that go out as they are: who we are. Never a secret. */
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
   * The host answers each call item with `kept` when it is on its disk, and no tool is started before:
   * what a crash leaves behind then never lacks a call that was made.
   */
  confirmsCalls: z.boolean().optional(),
  /** Where the tools work, as the container sees it. */
  workspace: z.string().min(1),
  /** Unix socket of a proxy for the tools, where they have no other way out; HTTPS_PROXY leads to it. */
  egressSocketPath: z.string().min(1).optional(),
  /**
   * What the commands of tools have in their environment beyond the agent's own. No process of ours ever gets it: it
   * may name code to be run, such as `NODE_OPTIONS` does.
   */
  toolEnvironment: z.record(z.string(), z.string()).optional(),
  /** What is put into the `~/.gitconfig` of the tools, unless there is one: whose their commits are. */
  gitConfig: z.string().min(1).optional(),
  /**
   * Who runs the tools, kept apart from the agent; absent: the agent's own user, and nothing parts them.
   * `isExclusive`: that user runs nothing else in the container, so whatever processes of it a run has left
   * are ended with the run.
   */
  worker: z.object({ uid: count, gid: count, isExclusive: z.boolean().optional() }).optional(),
  limits: RunLimits,
})
export type RunRequest = z.infer<typeof RunRequest>

/** Every later line on stdin. The end of stdin means the host is gone: the container leaves at once. */
export const HostLine = z.discriminatedUnion('type', [
  /** Starts the next run; only after `finished`. */
  z.object({ type: z.literal('prompt'), ...beginning }),
  /** Something to tell the model during a run; it is delivered at the next tool boundary. */
  z.object({ type: z.literal('message'), text: z.string().min(1) }),
  /** Ends the current run with `interrupted` and a history that can go on. */
  z.object({ type: z.literal('interrupt') }),
  /** The answer to `secrets.needed`. */
  z.object({ type: z.literal('secrets'), secrets: SecretsLine }),
  /** The events up to `seq` are on the host's disk; see `confirmsCalls`. */
  z.object({ type: z.literal('kept'), seq: count }),
  /** No more prompts will come: leave when the current run has ended. */
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
  /** When trying again makes sense, as far as the service said. */
  retryAt: epochMs.optional(),
  /** When the usage limit is lifted. */
  resetsAt: epochMs.optional(),
})
export type RunFailure = z.infer<typeof RunFailure>

export const RunStatus = z.enum(['done', 'turn-limit', 'interrupted', 'failed'])
export type RunStatus = z.infer<typeof RunStatus>

/** Stands in every event: protocol version, place in the container's output, and the run. */
const head = { v: z.literal(PROTOCOL_VERSION), seq: z.number().int().positive(), runId: z.string() }

export const RunEvent = z.discriminatedUnion('type', [
  z.object({
    ...head,
    type: z.literal('started'),
    model: z.string(),
    /** Whether tools are kept from the memory and the output of the agent, which holds the secrets. */
    toolsIsolated: z.boolean(),
  }),
  z.object({ ...head, type: z.literal('text.delta'), text: z.string() }),
  z.object({ ...head, type: z.literal('reasoning.delta'), text: z.string() }),
  /** A finished Responses item, ours or the model's: what the session log keeps. */
  z.object({ ...head, type: z.literal('item'), item: Item }),
  z.object({
    ...head,
    type: z.literal('tool.started'),
    callId: z.string(),
    name: z.string(),
    /** JSON text as the model wrote it; it may be invalid. */
    arguments: z.string(),
  }),
  /** What a tool has put out since the last such event; a part of a flood is left out. */
  z.object({ ...head, type: z.literal('tool.output'), callId: z.string(), text: z.string() }),
  z.object({
    ...head,
    type: z.literal('tool.finished'),
    callId: z.string(),
    name: z.string(),
    ok: z.boolean(),
    /** One line for a person; the whole output is in the `function_call_output` item. */
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
    /** The model that answered, where it is another than was asked for. */
    servedBy: z.string().optional(),
  }),
  /** What the service said about the limits of the plan, with an answer or a refusal. */
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
  /** Something the user should know about how the run is made. */
  z.object({ ...head, type: z.literal('notice'), message: z.string() }),
  /** Something was mended so that the conversation can go on. */
  z.object({
    ...head,
    type: z.literal('repair'),
    message: z.string(),
    /** What of all before this was given up: the service cannot read the reasoning, or refuses an image. */
    drops: z.enum(['reasoning', 'images']).optional(),
  }),
  /** From here on the conversation is `items`, in the place of everything before. */
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
   * Files that changed in the run and from which the user's own tools may run commands later, without
   * being told to, and what could not be looked at. Said by the host, just before the end.
   */
  z.object({
    ...head,
    type: z.literal('planted'),
    /**
     * The most dangerous first, and of each kind at least one. `path` is below the workspace; `why` is who runs it and
     * when, or why it was not read to its end (of the kind `unread`).
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
/** An event without what every event carries. */
export type EventBody = Body<RunEvent>
