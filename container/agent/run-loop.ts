import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../../shared/errors.ts'
import type { Item } from '../../shared/items.ts'
import type { RunFailure, RunRequest, RunStatus, Usage } from '../../shared/protocol.ts'
import type { Secrets } from '../../shared/secrets.ts'
import { answerCalls, declineCalls, toolDefinitions } from './answer-calls.ts'
import type { Emit } from './events.ts'
import type { History } from './history.ts'
import type { ModelClient } from './model-client.ts'
import { failureOfResponse, failureOfStream, type ModelFailure } from './model-failure.ts'
import { type ModelReply, readReply } from './model-reply.ts'
import type { WorkerClient } from './worker-client.ts'

/** What stays over the runs of a conversation. */
export interface Conversation {
  readonly request: RunRequest
  readonly history: History
  readonly client: ModelClient
  readonly worker: WorkerClient
}

/** What one run is given from outside while it goes on. */
export interface RunInput {
  /** Undefined: go on where the history ends. */
  prompt: string | undefined
  images: string[] | undefined
  secrets: Secrets
  emit: Emit
  /** Aborted to interrupt the run. */
  signal: AbortSignal
  /** Texts sent during the run, not delivered yet; the loop takes them out. */
  messages: string[]
  /** Asks the host for new secrets. */
  renewSecrets(signal: AbortSignal): Promise<Secrets>
}

export interface Outcome {
  status: RunStatus
  error?: RunFailure
  usage: Usage
  turns: number
  toolCalls: number
}

/** Retries in a row, whatever the reason; a completed response starts the count anew. */
const MAX_RETRIES = 5
const FIRST_RETRY_MS = 200

/**
 * Ask, act, repeat, until the model asks for nothing more. The history only ever grows and is valid
 * after every way out: what the model said stays said, and each call has its output.
 */
export async function runLoop(conversation: Conversation, input: RunInput): Promise<Outcome> {
  const run = new Run(conversation, input)
  const { maxTurns } = conversation.request.limits
  const { signal, messages } = input
  let failures = 0
  let renewed = false
  if (input.prompt) run.record(userMessage(input.prompt))

  while (run.turns < maxTurns) {
    const { calls, failure, usage, wantsMore } = await run.ask()
    if (signal.aborted) {
      run.recordAll(declineCalls(calls, 'the run was interrupted'))
      return run.outcome('interrupted')
    }
    const isFinal = failure && (failure.remedy === 'give-up' || failures >= MAX_RETRIES)
    const isRefused = failure?.remedy === 'ask-for-secrets' && renewed
    if (isFinal || isRefused) {
      run.recordAll(declineCalls(calls, 'the answer of the model broke off'))
      return run.outcome('failed', failure)
    }

    if (!failure) run.countTurn(usage)
    // The calls of a broken answer count: they are finished items, and the retry is told their output.
    run.recordAll(await answerCalls(calls, conversation.worker, input.emit))
    run.toolCalls += calls.length
    if (signal.aborted) return run.outcome('interrupted')

    if (failure?.remedy === 'ask-for-secrets') {
      renewed = true
      if (!(await run.renewSecrets()))
        return run.outcome(signal.aborted ? 'interrupted' : 'failed', failure)
      continue
    }
    if (failure) {
      failures++
      await run.waitBeforeRetry(failure, failures)
      if (signal.aborted) return run.outcome('interrupted')
      continue
    }
    failures = 0
    renewed = false
    const said = messages.splice(0)
    run.recordAll(said.map(userMessage))
    if (calls.length === 0 && !wantsMore && said.length === 0) return run.outcome('done')
  }
  return run.outcome('turn-limit')
}

/** One run's state and its ways to the outside. */
class Run {
  readonly #conversation: Conversation
  readonly #input: RunInput
  readonly #usage: Usage = {
    inputTokens: 0,
    cachedInputTokens: 0,
    outputTokens: 0,
    reasoningTokens: 0,
  }
  #secrets: Secrets
  /** Opaque; the first value the service sends in a run goes back with its later requests. */
  #turnState: string | undefined
  #hasShownText = false
  #firstEventMs = 0
  turns = 0
  toolCalls = 0

  constructor(conversation: Conversation, input: RunInput) {
    this.#conversation = conversation
    this.#input = input
    this.#secrets = input.secrets
  }

  record(item: Item): void {
    this.#conversation.history.push(item)
    this.#input.emit({ type: 'item', item })
    this.#hasShownText = false
  }

  recordAll(items: readonly Item[]): void {
    for (const item of items) this.record(item)
  }

  /** One request. Never rejects: a failure is part of the reply. */
  async ask(): Promise<ModelReply> {
    const { client, request } = this.#conversation
    const { emit, signal } = this.#input
    const sentAt = performance.now()
    let hadHeaders = false
    try {
      const answer = await client.post({
        secrets: this.#secrets,
        headers: this.#turnState ? { 'x-codex-turn-state': this.#turnState } : {},
        body: this.#requestBody(),
        idleMs: request.limits.streamIdleMs,
        signal,
      })
      if (answer.status === 'refused') {
        return { calls: [], failure: failureOfResponse(answer.response), wantsMore: false }
      }
      hadHeaders = true
      this.#turnState ??= headerValue(answer.headers['x-codex-turn-state'])
      return await readReply(answer.chunks, {
        onStart: () => {
          this.#firstEventMs = Math.round(performance.now() - sentAt)
        },
        onItem: (item) => this.record(item),
        onText: (text) => {
          this.#hasShownText = true
          emit({ type: 'text.delta', text })
        },
        onReasoning: (text) => emit({ type: 'reasoning.delta', text }),
      })
    } catch (error) {
      const failure = failureOfStream(messageOf(error), hadHeaders)
      return { calls: [], failure, wantsMore: false }
    }
  }

  countTurn(usage: Usage | undefined): void {
    this.turns++
    if (!usage) return
    for (const key of Object.keys(usage) as (keyof Usage)[]) this.#usage[key] += usage[key]
    this.#input.emit({ type: 'usage', usage, firstEventMs: this.#firstEventMs })
  }

  /** False when the host has none. */
  async renewSecrets(): Promise<boolean> {
    try {
      this.#input.emit({ type: 'secrets.needed' })
      this.#secrets = await this.#input.renewSecrets(this.#input.signal)
      return true
    } catch {
      // No answer in time, or interrupted: the refusal itself is what the user is told.
      return false
    }
  }

  async waitBeforeRetry(failure: ModelFailure, attempt: number): Promise<void> {
    const { emit, signal } = this.#input
    // Ten percent of jitter, so that many agents do not come back in the same moment.
    const backoffMs = FIRST_RETRY_MS * 2 ** (attempt - 1) * (0.9 + Math.random() * 0.2)
    const delayMs = Math.round(failure.waitMs ?? backoffMs)
    emit({
      type: 'retry',
      attempt,
      delayMs,
      reason: asRunFailure(failure),
      discardsText: this.#hasShownText,
    })
    this.#hasShownText = false
    // Rejects when interrupted, which the loop looks at itself.
    await sleep(delayMs, undefined, { signal }).catch(() => {})
  }

  outcome(status: RunStatus, failure?: ModelFailure): Outcome {
    return {
      status,
      ...(status === 'failed' && failure ? { error: asRunFailure(failure) } : {}),
      usage: this.#usage,
      turns: this.turns,
      toolCalls: this.toolCalls,
    }
  }

  #requestBody(): string {
    const { request, history } = this.#conversation
    return history.requestBody({
      model: request.model,
      stream: true,
      store: false,
      tools: toolDefinitions,
      tool_choice: 'auto',
      parallel_tool_calls: true,
      reasoning: request.reasoning,
      include: ['reasoning.encrypted_content'],
      prompt_cache_key: request.conversationId,
      ...(request.verbosity ? { text: { verbosity: request.verbosity } } : {}),
    })
  }
}

/** What the loop does about a failure is its own business and no part of the event. */
function asRunFailure({ remedy: _remedy, waitMs: _waitMs, ...failure }: ModelFailure): RunFailure {
  return failure
}

function userMessage(text: string): Item {
  return { type: 'message', role: 'user', content: [{ type: 'input_text', text }] }
}

function headerValue(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}
