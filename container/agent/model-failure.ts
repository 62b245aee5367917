import type { ErrorCode } from '../../shared/errors.ts'
import { UPSTREAM_UNREACHABLE } from '../../shared/gateway-errors.ts'
import type { RunFailure } from '../../shared/protocol.ts'

/**
 * A request to the model that did not end in `response.completed`: what it means to the user, and
 * what the loop does about it.
 */
export interface ModelFailure extends RunFailure {
  code: ErrorCode
  remedy: 'give-up' | 'retry' | 'ask-for-secrets'
  /** How long the service asked us to wait before a retry. */
  waitMs?: number
}

/** A response with a status other than 200. `body` is its text, possibly cut. */
export interface RefusedResponse {
  status: number
  headers: NodeJS.Dict<string | string[]>
  body: string
}

/** A wait longer than this is for the user to decide, not for a run to sit through. */
const MAX_WAIT_MS = 120_000

/** What an HTTP status and its body mean. */
export function failureOfResponse(response: RefusedResponse, now = Date.now()): ModelFailure {
  const { status, headers, body } = response
  const error = parseError(body)
  const waitMs = retryAfterMs(headers['retry-after'], now)
  const said = `The service answered ${status}: ${error.message ?? shorten(body)}${traceOf(headers)}`

  if (error.code === UPSTREAM_UNREACHABLE && status !== 401) {
    return failureOfStream(error.message ?? 'the gateway does not say why', false)
  }
  if (status === 401) return { code: 'not-signed-in', message: said, remedy: 'ask-for-secrets' }
  if (status === 429 && error.type === 'usage_limit_reached') return usageLimit(error)
  if (status === 429 && error.type === 'usage_not_included') return planWithoutCodex()
  if (error.code === 'insufficient_quota') return quotaSpent(error)
  if (status === 429 && waitMs === undefined) {
    return { code: 'rate-limited', message: said, remedy: 'give-up' }
  }
  if (status === 400) return byCode(error, said) ?? refused(said)
  if (error.code === 'model_not_found') return modelUnknown(said)
  if (isHtml(headers, body)) return blocked(status, headers)

  const code = status === 429 ? 'rate-limited' : status < 500 ? 'model-refused' : 'model-failed'
  return retryable(code, said, waitMs, now)
}

/** What `response.failed` or `response.incomplete` mean; `event` is the parsed event. */
export function failureOfEvent(event: unknown, now = Date.now()): ModelFailure {
  const response = field(event, 'response')
  if (field(event, 'type') === 'response.incomplete') {
    const reason = text(field(field(response, 'incomplete_details'), 'reason')) ?? 'no reason given'
    const message = `The model's answer is incomplete: ${reason}.`
    return reason === 'max_output_tokens'
      ? { code: 'model-failed', message, remedy: 'give-up' }
      : { code: 'model-failed', message, remedy: 'retry' }
  }
  const error = readError(field(response, 'error'))
  const said = `The service failed to answer: ${error.message ?? error.code ?? 'no reason given'}`
  if (error.code === 'rate_limit_exceeded') {
    return retryable('rate-limited', said, hintedWaitMs(error.message), now)
  }
  return byCode(error, said) ?? { code: 'model-failed', message: said, remedy: 'retry' }
}

/** The connection failed, or the stream ended before `response.completed`. */
export function failureOfStream(reason: string, hadHeaders: boolean): ModelFailure {
  return hadHeaders
    ? { code: 'stream-cut', message: `The model's answer broke off: ${reason}.`, remedy: 'retry' }
    : {
        code: 'model-unreachable',
        message: `The model cannot be reached: ${reason}.`,
        remedy: 'retry',
      }
}

/** Codes that mean the same in a refused response and in a failed stream. Undefined: not one of them. */
function byCode(error: ServiceError, said: string): ModelFailure | undefined {
  switch (error.code ?? error.type) {
    case 'context_length_exceeded':
      return {
        code: 'context-full',
        message: 'The conversation no longer fits into the model. Start a new session.',
        remedy: 'give-up',
      }
    case 'usage_limit_reached':
      return usageLimit(error)
    case 'usage_not_included':
      return planWithoutCodex()
    case 'insufficient_quota':
      return quotaSpent(error)
    case 'model_not_found':
      return modelUnknown(said)
    case 'invalid_prompt':
    case 'cyber_policy':
    case 'bio_policy':
      return refused(said)
    case 'server_is_overloaded':
      return { code: 'model-failed', message: said, remedy: 'give-up' }
    default:
      // Older backends name a model that the plan or the account may not use in the text alone.
      return /\bmodel\b.*\b(not supported|does not exist|not found)\b/i.test(error.message ?? '')
        ? modelUnknown(said)
        : undefined
  }
}

function usageLimit(error: ServiceError): ModelFailure {
  const plan = error.plan ? ` of the ${error.plan} plan` : ''
  const until = error.resetsAt ? '' : ' Try again later.'
  return {
    code: 'usage-limit',
    message: `The usage limit${plan} is reached.${until}`,
    ...(error.resetsAt ? { resetsAt: error.resetsAt } : {}),
    remedy: 'give-up',
  }
}

function quotaSpent(error: ServiceError): ModelFailure {
  const said = error.message ? ` (${error.message})` : ''
  return {
    code: 'usage-limit',
    message: `The quota is spent${said}. Check the plan and its billing.`,
    remedy: 'give-up',
  }
}

function planWithoutCodex(): ModelFailure {
  return {
    code: 'plan-without-codex',
    message: 'The plan of this account does not include Codex. Upgrade it or sign in with another.',
    remedy: 'give-up',
  }
}

function modelUnknown(said: string): ModelFailure {
  return {
    code: 'model-unknown',
    message: `${said} Choose another model with --model.`,
    remedy: 'give-up',
  }
}

function refused(said: string): ModelFailure {
  return { code: 'model-refused', message: said, remedy: 'give-up' }
}

/** A page where JSON was expected comes from something before the service: Cloudflare, a proxy, a portal. */
function blocked(status: number, headers: RefusedResponse['headers']): ModelFailure {
  const who = headers['cf-ray'] || headers['cf-mitigated'] ? 'Cloudflare' : 'something on the way'
  return {
    code: 'model-refused',
    message:
      `Not the service but ${who} answered ${status} with a web page${traceOf(headers)}. ` +
      'A VPN, a proxy or a blocked region are the usual reasons.',
    remedy: status >= 500 ? 'retry' : 'give-up',
  }
}

function retryable(
  code: ErrorCode,
  message: string,
  waitMs: number | undefined,
  now: number,
): ModelFailure {
  if (waitMs === undefined) return { code, message, remedy: 'retry' }
  return waitMs > MAX_WAIT_MS
    ? { code, message, retryAt: now + waitMs, remedy: 'give-up' }
    : { code, message, waitMs, remedy: 'retry' }
}

// ---- reading what the service said ----

interface ServiceError {
  code?: string | undefined
  type?: string | undefined
  message?: string | undefined
  plan?: string | undefined
  /** Epoch ms. */
  resetsAt?: number | undefined
}

/** The service's own form is `{"error": {...}}`; its gateway's is `{"detail": "..."}`. */
function parseError(body: string): ServiceError {
  let json: unknown
  try {
    json = JSON.parse(body)
  } catch {
    return {}
  }
  const detail = field(json, 'detail')
  const error = field(json, 'error')
  if (error !== undefined) return readError(error)
  return {
    message: text(detail) ?? (detail === undefined ? undefined : shorten(JSON.stringify(detail))),
  }
}

function readError(error: unknown): ServiceError {
  if (typeof error === 'string') return { code: error }
  const resetsAt = field(error, 'resets_at')
  return {
    code: text(field(error, 'code')),
    type: text(field(error, 'type')),
    message: text(field(error, 'message')),
    plan: text(field(error, 'plan_type')),
    resetsAt: typeof resetsAt === 'number' ? Math.round(resetsAt * 1000) : undefined,
  }
}

/** `Retry-After`: seconds or an HTTP date (RFC 9110, 10.2.3). Undefined when absent or unreadable. */
function retryAfterMs(value: string | string[] | undefined, now: number): number | undefined {
  if (typeof value !== 'string') return undefined
  if (/^\d+$/.test(value.trim())) return Number(value) * 1000
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

/** The hint in the text of a rate limit: "Please try again in 1.5s", "in 1m2s". */
function hintedWaitMs(message: string | undefined): number | undefined {
  const hint = /try again in\s*((?:\d+(?:\.\d+)?\s*(?:ms|s|m)[a-z]*\s*)+)/i.exec(message ?? '')?.[1]
  if (!hint) return undefined
  const parts = [...hint.matchAll(/(\d+(?:\.\d+)?)\s*(ms|s|m)/gi)]
  const unitMs = (unit = '') => ({ ms: 1, s: 1000, m: 60_000 })[unit.toLowerCase()] ?? 0
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * unitMs(unit), 0)
}

function isHtml(headers: RefusedResponse['headers'], body: string): boolean {
  return String(headers['content-type']).includes('text/html') || /^\s*<(!doctype|html)/i.test(body)
}

function traceOf(headers: RefusedResponse['headers']): string {
  const ids = [headers['x-request-id'] ?? headers['x-oai-request-id'], headers['cf-ray']].filter(
    Boolean,
  )
  return ids.length > 0 ? ` (request ${ids.join(', ')})` : ''
}

function shorten(body: string): string {
  const line = body.replace(/\s+/g, ' ').trim()
  if (line === '') return 'an empty body'
  return line.length > 500 ? `${line.slice(0, 500)}…` : line
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  return (value as Record<string, unknown>)[name]
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
