import { setTimeout as sleep } from 'node:timers/promises'
import { assistantText } from '../../shared/assistant-text.ts'
import type { Item } from '../../shared/items.ts'
import type { Limits } from '../../shared/limits.ts'
import { NO_USAGE } from '../../shared/no-usage.ts'
import type { RunFailure, RunRequest, RunStatus, Usage } from '../../shared/protocol.ts'
import { readLimits } from '../../shared/read-limits.ts'
import type { Secrets } from '../../shared/secrets.ts'
import { type AskReply, askModel } from './ask-model.ts'
import { compact } from './compaction.ts'
import type { Emit } from './events.ts'
import type { History } from './history.ts'
import type { ModelClient } from './model-client.ts'
import { type ModelFailure, runFailureOf } from './model-failure.ts'
import type { CallItem } from './model-reply.ts'
import { ItemRepairer, newId } from './repair-item.ts'
import { requestBody, userMessage } from './request-body.ts'
import { RetryPolicy } from './retry-policy.ts'
import { ToolCalls } from './tool-calls.ts'
import type { WorkerClient } from './worker-client.ts'

/** The state that outlives the runs of a conversation. */
export interface LoopContext {
  readonly request: RunRequest
  readonly history: History
  readonly client: ModelClient
  readonly worker: WorkerClient
}

/** The inputs of one run. */
export interface RunInput extends Pick<RunRequest, 'prompt' | 'images' | 'secrets'> {
  emit: Emit
  /** Aborted to interrupt the run. */
  signal: AbortSignal
  /** Texts sent during the run, not delivered yet; the loop takes them out. */
  messages: string[]
  /** Asks the host for new secrets. */
  renewSecrets(signal: AbortSignal): Promise<Secrets>
  /** See `ToolCallsOptions`. */
  acknowledged(seq: number): Promise<void>
}

export interface Outcome {
  status: RunStatus
  error?: RunFailure
  usage: Usage
  turns: number
  toolCalls: number
}

/**
 * Ask, act, repeat, until the model asks for nothing more. The history is valid after every return:
 * messages of the user stay in it, and each call has its output.
 */
export async function runLoop(context: LoopContext, input: RunInput): Promise<Outcome> {
  const run = new RunLoop(context, input)
  const { signal, messages } = input
  const end = (status: RunStatus, failure?: ModelFailure) => {
    run.addMessages(messages.splice(0))
    return run.outcome(signal.aborted ? 'interrupted' : status, failure)
  }

  const tooLong = await run.compactIfLong()
  if (input.prompt) run.addMessage(input.prompt, input.images)
  if (tooLong || signal.aborted) return end('failed', tooLong)

  while (run.turns < context.request.limits.maxTurns) {
    const { failure, calls, wantsMore, isAnswer } = await run.turn()
    if (failure || signal.aborted) return end('failed', failure)
    const newMessages = messages.splice(0)
    run.addMessages(newMessages)
    if (calls === 0 && !wantsMore && newMessages.length === 0) {
      return isAnswer ? end('done') : end('failed', NO_ANSWER)
    }
    const stillTooLong = await run.compactIfLong()
    if (stillTooLong || signal.aborted) return end('failed', stillTooLong)
  }
  return end('turn-limit')
}

const NO_ANSWER: ModelFailure = {
  code: 'model-failed',
  message:
    'The model ended without an answer. What it has done is done; ask it to go on, or ask another model.',
  remedy: 'give-up',
}

interface AskOptions {
  /** Stands behind the history in this request alone. */
  more?: readonly Item[]
  onItem: (item: Item) => void
  /** Whether the user sees the answer come. */
  isShown?: boolean
}

interface Turn {
  failure?: ModelFailure
  calls: number
  wantsMore: boolean
  /** Whether the answer has text for the user. */
  isAnswer: boolean
}

class RunLoop {
  readonly #context: LoopContext
  readonly #input: RunInput
  readonly #usage: Usage = { ...NO_USAGE }
  readonly #repairer: ItemRepairer
  readonly #retries = new RetryPolicy()
  /** The remedies tried for the answer of this turn; each is tried once. */
  readonly #tried = new Set<ModelFailure['remedy']>()
  #secrets: Secrets
  /** Opaque; the first value the service sends in a run goes back with its later requests. */
  #turnState: string | undefined
  /** Sent with each request once one was refused without it. */
  #clientVersion: string | undefined
  /** Whether the prompt has images: without them the model could not answer it. */
  #hasImages = false
  #hasShownText = false
  #isAnswer = false
  #servedBy: string | undefined
  #limits = ''
  #tokensAfter = 0
  turns = 0
  #toolCalls = 0

  constructor(context: LoopContext, input: RunInput) {
    this.#context = context
    this.#input = input
    this.#secrets = input.secrets
    this.#repairer = new ItemRepairer(context.history)
  }

  addMessage(text: string, images?: readonly string[]): void {
    this.#hasImages ||= Boolean(images?.length)
    this.#record({ ...userMessage(text, images), id: newId('message') })
  }

  addMessages(texts: readonly string[]): void {
    for (const text of texts) this.addMessage(text)
  }

  /** The next answer of the model, with all its calls run. Never rejects. */
  async turn(): Promise<Turn> {
    let calls = 0
    this.#isAnswer = false
    const reply = await this.#untilAnswered(async () => {
      const running = this.#newToolCalls()
      const answer = await this.#ask({
        onItem: (item) => this.#takeItem(item, running),
        isShown: true,
      })
      // The failure is final: report it now instead of waiting minutes for the tools.
      if (answer.failure?.remedy === 'give-up') this.#context.worker.cancel()
      // The calls of a broken answer count: they are finished items, and the retry sends their output.
      for (const output of await running.outputs()) this.#record(output)
      calls = running.count
      this.#toolCalls += running.count
      return answer
    })
    if (!reply.failure) {
      this.turns++
      this.#tried.clear()
      this.#repairer.answered()
    }
    return { ...reply, calls, isAnswer: this.#isAnswer }
  }

  /** The failure, if any. */
  async compactIfLong(): Promise<ModelFailure | undefined> {
    const { request, history } = this.#context
    const { compactAtTokens } = request.form
    // A compacted history may still be long; it has to grow before it is compacted again.
    const isLong = history.tokens >= Math.max(compactAtTokens ?? Infinity, 1.5 * this.#tokensAfter)
    return isLong ? this.#compact() : undefined
  }

  outcome(status: RunStatus, failure?: ModelFailure): Outcome {
    return {
      status,
      ...(status === 'failed' && failure ? { error: runFailureOf(failure) } : {}),
      usage: this.#usage,
      turns: this.turns,
      toolCalls: this.#toolCalls,
    }
  }

  async #compact(): Promise<ModelFailure | undefined> {
    const { request, history } = this.#context
    const tokensBefore = history.tokens
    const failure = await compact(request, history, (more, items) =>
      this.#untilAnswered(() =>
        this.#ask({ more, onItem: (item) => void items.push(...this.#usable(item)) }),
      ),
    )
    if (failure) return failure
    const { items, tokens: tokensAfter } = history
    this.#tokensAfter = tokensAfter
    this.#input.emit({ type: 'compacted', items, tokensBefore, tokensAfter })
    return undefined
  }

  /** The item goes into the history, so it is repaired like an item of any other answer. */
  #usable(item: Item): Item[] {
    const { item: repaired } = this.#repairer.repair(item)
    return repaired ? [repaired] : []
  }

  /** Asks until there is an answer, or no remedy for the failure. */
  async #untilAnswered(ask: () => Promise<AskReply>): Promise<AskReply> {
    for (;;) {
      const reply = await ask()
      if (!reply.failure) {
        this.#retries.succeeded()
        return reply
      }
      const failure = this.#input.signal.aborted ? reply.failure : await this.#remedy(reply.failure)
      if (failure) return { ...reply, failure }
    }
  }

  /** Undefined: ask again. Otherwise the failure to report. */
  async #remedy(failure: ModelFailure): Promise<ModelFailure | undefined> {
    const { remedy } = failure
    const isFirst = !this.#tried.has(remedy)
    this.#tried.add(remedy)
    switch (remedy) {
      case 'give-up':
        return failure
      case 'retry':
        return this.#waitForRetry(failure)
      case 'ask-for-secrets':
        return isFirst && (await this.#renewSecrets()) ? undefined : failure
      case 'drop-reasoning':
        return isFirst && this.#dropReasoning() ? undefined : failure
      case 'drop-images':
        return this.#dropImages() && isFirst && !this.#hasImages ? undefined : failure
      case 'compact':
        return isFirst ? this.#makeRoom(failure) : failure
      case 'name-client-version':
        return this.#nameClientVersion(failure)
    }
  }

  async #waitForRetry(failure: ModelFailure): Promise<ModelFailure | undefined> {
    const { emit, signal } = this.#input
    const next = this.#retries.next(failure)
    if ('giveUp' in next)
      return { ...failure, ...next.giveUp, code: failure.code, remedy: 'give-up' }
    emit({
      type: 'retry',
      ...next,
      reason: runFailureOf(failure),
      discardsText: this.#hasShownText,
    })
    this.#hasShownText = false
    // Rejects when interrupted, which the loop checks itself.
    await sleep(next.delayMs, undefined, { signal }).catch(() => {})
    return undefined
  }

  /** False when the host has none. */
  async #renewSecrets(): Promise<boolean> {
    try {
      this.#input.emit({ type: 'secrets.needed' })
      this.#secrets = await this.#input.renewSecrets(this.#input.signal)
      return true
    } catch {
      // No answer in time, or interrupted: the user gets the original refusal.
      return false
    }
  }

  #dropReasoning(): boolean {
    const dropped = this.#context.history.dropReasoning()
    if (dropped === 0) return false
    const message = `the service can no longer read the model's earlier reasoning; ${dropped} items are left out`
    this.#input.emit({ type: 'repair', message, drops: 'reasoning' })
    return true
  }

  #dropImages(): boolean {
    const dropped = this.#context.history.dropImages()
    if (dropped === 0) return false
    const message = `the service refuses an image of the conversation; ${dropped} images are left out from here on`
    this.#input.emit({ type: 'repair', message, drops: 'images' })
    return true
  }

  /** Until the end of the run: without the header the next request would be refused as well. */
  #nameClientVersion(failure: ModelFailure): ModelFailure | undefined {
    const { form, model } = this.#context.request
    const { minimalClientVersion: version } = form
    if (!version) return failure
    if (this.#clientVersion) {
      const message = `The header \`version: ${version}\`, which the list of models asks for, did not help. ${failure.message}`
      return { ...failure, code: 'model-refused', message }
    }
    this.#clientVersion = version
    const message = `The service refused ${model}, which its list of models has for clients of version ${version} or newer; asking again with the header \`version: ${version}\`.`
    this.#input.emit({ type: 'notice', message })
    return undefined
  }

  /** The service says that the conversation is too long, contrary to our own count. */
  async #makeRoom(failure: ModelFailure): Promise<ModelFailure | undefined> {
    const { history } = this.#context
    if (!(await this.#compact())) return undefined
    if (this.#input.signal.aborted) return failure
    // Too long even to be summed up.
    history.dropOlderHalf()
    const message = 'the conversation is too long even to be summed up; its older half is left out'
    this.#input.emit({ type: 'repair', message })
    return this.#compact()
  }

  async #ask({ more, onItem, isShown = false }: AskOptions): Promise<AskReply> {
    const { client, request, history } = this.#context
    const { emit, signal } = this.#input
    const reply = await askModel(
      client,
      {
        secrets: this.#secrets,
        headers: {
          ...(this.#turnState ? { 'x-codex-turn-state': this.#turnState } : {}),
          ...(this.#clientVersion ? { version: this.#clientVersion } : {}),
          ...(request.form.lite ? { 'x-openai-internal-codex-responses-lite': 'true' } : {}),
        },
        body: requestBody(request, history, more),
        limits: request.limits,
        signal,
      },
      {
        onHeaders: (headers) => {
          this.#turnState ??= headerValue(headers['x-codex-turn-state'])
          const model = headerValue(headers['openai-model'])
          this.#servedBy = model === request.model ? undefined : model
          this.#reportLimits(readLimits(headers, Date.now()))
        },
        onEvent: () => {},
        onItem,
        onText: (text) => {
          if (!isShown) return
          this.#hasShownText = true
          emit({ type: 'text.delta', text })
        },
        onReasoning: (text) => {
          if (isShown) emit({ type: 'reasoning.delta', text })
        },
      },
    )
    if (reply.usage) this.#countUsage(reply.usage, reply.firstEventMs)
    return reply
  }

  #newToolCalls(): ToolCalls {
    const { request, worker } = this.#context
    const { emit, acknowledged, signal } = this.#input
    return new ToolCalls({ form: request.form, worker, emit, acknowledged, signal })
  }

  #takeItem(item: Item, calls: ToolCalls): void {
    const text = assistantText(item) ?? ''
    if (text !== '') this.#isAnswer = true
    const { item: repaired, repair } = this.#repairer.repair(item)
    // A refusal is not recorded as an item, and not every server sends deltas of it.
    if (!repaired && text !== '' && !this.#hasShownText) {
      this.#input.emit({ type: 'text.delta', text })
    }
    if (repair) this.#input.emit({ type: 'repair', message: repair })
    if (!repaired) return
    const seq = this.#record(repaired)
    if (isCall(repaired)) calls.start(repaired, seq)
  }

  #record(item: Item): number {
    const { history } = this.#context
    history.push(item)
    this.#hasShownText = false
    const seq = this.#input.emit({ type: 'item', item })
    const dropped = history.takeDroppedImages()
    if (dropped > 0) {
      const message = `the oldest images are left out, of ${dropped} items: together they are too large to be sent`
      this.#input.emit({ type: 'repair', message })
    }
    return seq
  }

  #countUsage(usage: Usage, firstEventMs: number): void {
    for (const key of Object.keys(usage) as (keyof Usage)[]) this.#usage[key] += usage[key]
    this.#context.history.counted(usage.inputTokens + usage.outputTokens)
    const servedBy = this.#servedBy
    this.#input.emit({ type: 'usage', usage, firstEventMs, ...(servedBy ? { servedBy } : {}) })
  }

  /** Only when they have changed: every answer carries them. */
  #reportLimits(limits: Limits | undefined): void {
    const text = JSON.stringify(limits)
    if (!limits || text === this.#limits) return
    this.#limits = text
    this.#input.emit({ type: 'limits', limits })
  }
}

function isCall(item: Item): item is CallItem {
  return item.type === 'function_call' || item.type === 'custom_tool_call'
}

function headerValue(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}
