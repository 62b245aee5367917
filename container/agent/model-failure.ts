import type { ErrorCode } from '../../shared/errors.ts'
import type { RunFailure } from '../../shared/protocol.ts'
import {
  type FailureFacts,
  factsOfConnection,
  factsOfEvent,
  factsOfResponse,
  headerOf,
  oneLine,
  type RefusedResponse,
  traceOf,
} from './failure-facts.ts'
import { rowOf } from './failure-row.ts'
import type { FailureRow, Remedy } from './failure-table.ts'

export type { RefusedResponse } from './failure-facts.ts'

/**
 * A request to the model that did not end in `response.completed`: what it means to the user, and
 * what the loop does about it.
 */
export interface ModelFailure extends RunFailure {
  code: ErrorCode
  remedy: Remedy
  /** How long the service asked us to wait; `retryAt` is the same as a point in time. */
  waitMs?: number
}

/** What an HTTP status, its headers and its body mean. Also a 200 whose body is a web page. */
export function failureOfResponse(response: RefusedResponse, now = Date.now()): ModelFailure {
  return failureOf(factsOfResponse(response, now), now)
}

/** What `response.failed`, `response.incomplete` or `error` mean; `event` is the parsed event. */
export function failureOfEvent(event: unknown, now = Date.now()): ModelFailure {
  return failureOf(factsOfEvent(event, now), now)
}

/**
 * The connection failed, or the stream ended before `response.completed`. `reason`: the error thrown,
 * or a sentence.
 */
export function failureOfStream(reason: unknown, hadHeaders: boolean): ModelFailure {
  return failureOf(factsOfConnection(reason, hadHeaders ? 'reading' : 'connecting'), 0)
}

/** The part that the host is told. The remedy is for the loop alone. */
export function runFailureOf(failure: ModelFailure): RunFailure {
  const { remedy: _remedy, waitMs: _waitMs, ...reported } = failure
  return reported
}

export function failureOf(facts: FailureFacts, now: number): ModelFailure {
  const row = rowOf(facts)
  const { code, remedy } = row
  const { waitMs, resetsAt } = facts
  return {
    code,
    message: messageOf(row, facts),
    ...(waitMs !== undefined ? { waitMs, retryAt: now + waitMs } : {}),
    ...(code === 'usage-limit' && resetsAt !== undefined ? { resetsAt } : {}),
    remedy,
  }
}

function messageOf(row: FailureRow, facts: FailureFacts): string {
  const parts = partsOf(facts)
  // In one pass: the service's text may contain braces.
  const fill = (text: string) => text.replace(/\{(\w+)\}/g, (_, name) => parts[name] ?? '')
  const sentences = [row.says, row.advice ?? ''].map((text) => asSentence(fill(text)))
  return sentences.join(' ').trim() + traceOf(facts.headers)
}

/** The values for the names in braces. */
function partsOf(facts: FailureFacts): Record<string, string> {
  const { text, plan, headers } = facts
  const model = MODEL_NAMED.exec(text)?.slice(1).find(Boolean)
  return {
    status: `${facts.status}`,
    said: facts.said || oneLine(''),
    ofPlan: plan ? ` of the ${oneLine(plan, 50)} plan` : '',
    limit: oneLine(facts.limitName, 100),
    offer: asSentence(oneLine(headerOf(headers, 'x-codex-promo-message'))),
    until: facts.resetsAt === undefined ? 'try again later' : 'wait for the reset',
    model: model ? `the model '${model}'` : 'this model',
    otherModel: REPLACEMENT.exec(text)?.[1] ?? 'another (`codexbox models` lists them)',
  }
}

/** A name in quotes beside the word `model`, or an unquoted one after it that has a digit. */
const MODEL_NAMED =
  /\bmodel:?\s{1,3}['"`]([\w.:/-]{1,80})['"`]|['"`]([\w.:/-]{1,80})['"`]\s{1,3}model\b|\bmodel(?: not found)?:?\s{1,3}([a-z][\w.-]{0,60}\d[\w-]{0,20})/i

const REPLACEMENT =
  /\b(?:use|try|(?:switch|upgrade|move|migrate)d? to|(?:replaced|superseded) by)\s{1,3}(?:the\s{1,3})?(?:model\s{1,3})?['"`]?([a-z][\w.-]{0,60}\d(?:[\w.-]{0,20}\w)?)/i

function asSentence(sentence: string): string {
  return sentence === '' || /[.!?…]$/.test(sentence) ? sentence : `${sentence}.`
}
