import { reasonOf } from '../../shared/errors.ts'
import { isPageType } from '../../shared/event-stream.ts'
import { UPSTREAM_UNREACHABLE } from '../../shared/gateway-errors.ts'
import { readLimits } from '../../shared/read-limits.ts'
import { retryAfterMs } from '../../shared/retry-after.ts'
import type { Where } from './failure-table.ts'
import { hintedWaitMs } from './failure-wait.ts'

/** A response with a status other than 200. `body` is its text, possibly cut. */
export interface RefusedResponse {
  status: number
  headers: NodeJS.Dict<string | string[]>
  body: string
}

/** What is known about a failure, from a response, an event or a connection. */
export interface FailureFacts {
  where: Where
  status?: number
  /** Codes and types that the service or the system gives it. */
  names: readonly string[]
  /** The full text of the error, for pattern matching. */
  text: string
  /** The same in one short line, for a person. */
  said: string
  headers: NodeJS.Dict<string | string[]>
  isPage: boolean
  param?: string | undefined
  plan?: string | undefined
  /** Epoch ms. */
  resetsAt?: number | undefined
  /** The name of the limit that stopped the request, where it is not the general one. */
  limitName?: string | undefined
  waitMs?: number | undefined
}

export function factsOfResponse(response: RefusedResponse, now: number): FailureFacts {
  const { status, headers } = response
  // A body that is not text, such as a compressed one, is dropped.
  const isText = !response.body.includes('\uFFFD\uFFFD')
  const body = isText ? response.body.slice(0, MAX_SEARCHED) : ''
  const error = parseError(response.body)
  // Without the gateway this would have been a connection failure of ours.
  if (error.code === UPSTREAM_UNREACHABLE && status !== 401) {
    return factsOfConnection(error.message ?? NO_REASON, 'connecting')
  }
  const isPage = isHtml(headers, body)
  const text = (error.message ?? error.code ?? body).slice(0, MAX_SEARCHED)
  const limits = readLimits(headers, now)
  return {
    where: 'http',
    status,
    names: [error.code, error.type, encodedCode(headers)].filter((name) => name !== undefined),
    text,
    said: oneLine(isPage ? titleOf(body) : text),
    headers,
    isPage,
    param: error.param,
    plan: error.plan ?? limits?.plan,
    resetsAt: error.resetsAt ?? limitEnd(limits),
    limitName: limits?.limits.find(({ id }) => id === limits.reached && id !== 'codex')?.name,
    waitMs: retryAfterMs(headers['retry-after'], now) ?? hintedWaitMs(text),
  }
}

/** `event`: a parsed `response.failed`, `response.incomplete` or `error`. */
export function factsOfEvent(event: unknown, now: number): FailureFacts {
  if (field(event, 'type') === 'error') return factsOfErrorEvent(event, now)
  const response = field(event, 'response')
  if (field(event, 'type') === 'response.incomplete') {
    const reason = string(field(field(response, 'incomplete_details'), 'reason'))
    return { ...nothing, where: 'incomplete', names: reason ? [reason] : [], said: oneLine(reason) }
  }
  return factsOfError(field(response, 'error'))
}

/**
 * The error stands in `error`, or its fields in the event itself. An event with a status is the refusal
 * that the request would have got, headers included, had the stream not begun already.
 */
function factsOfErrorEvent(event: unknown, now: number): FailureFacts {
  const error = field(event, 'error') ?? withoutType(event)
  // Without the gateway this would have been a connection failure of ours.
  const { code, message } = readError(error)
  if (code === UPSTREAM_UNREACHABLE) return factsOfConnection(message ?? NO_REASON, 'reading')
  const status = field(event, 'status') ?? field(event, 'status_code')
  if (typeof status !== 'number' || !(status >= 400 && status <= 599)) return factsOfError(error)
  const headers = Object.fromEntries(
    Object.entries(Object(field(event, 'headers')))
      .filter(([, value]) => typeof value === 'string' || typeof value === 'number')
      .map(([name, value]) => [name.toLowerCase(), String(value)]),
  )
  return factsOfResponse({ status, headers, body: JSON.stringify({ error }) }, now)
}

/** The type `error` is that of the event, not of the failure. */
function withoutType(event: unknown): unknown {
  const { type: _, ...error } = Object(event) as Record<string, unknown>
  return error
}

function factsOfError(fields: unknown): FailureFacts {
  const error = readError(fields)
  const text = (error.message ?? error.code ?? '').slice(0, MAX_SEARCHED)
  return {
    ...nothing,
    where: 'failed',
    names: [error.code, error.type].filter((name) => name !== undefined),
    text,
    said: oneLine(text),
    param: error.param,
    plan: error.plan,
    resetsAt: error.resetsAt,
    waitMs: hintedWaitMs(text),
  }
}

/** `reason`: the error thrown, or a sentence. */
export function factsOfConnection(reason: unknown, where: 'connecting' | 'reading'): FailureFacts {
  const text = reasonOf(reason).slice(0, MAX_SEARCHED)
  return {
    ...nothing,
    where,
    names: text.match(/\bE[A-Z_]{3,}\b/g) ?? [],
    text,
    said: oneLine(text),
  }
}

/** Ids that the service gave the request, for support. */
export function traceOf(headers: FailureFacts['headers']): string {
  const ids = [
    label('request', headerOf(headers, 'x-request-id') ?? headerOf(headers, 'x-oai-request-id')),
    label('cf-ray', headerOf(headers, 'cf-ray')),
    label('authorization error', headerOf(headers, 'x-openai-authorization-error')),
    label('error code', encodedCode(headers)),
  ].filter((id) => id !== undefined)
  return ids.length > 0 ? ` (${ids.join(', ')})` : ''
}

export function headerOf(headers: FailureFacts['headers'], name: string): string | undefined {
  const value = headers[name]
  return string(Array.isArray(value) ? value[0] : value)
}

/** One line without control characters and credentials, of at most `length` characters. */
export function oneLine(text: string | undefined, length = 500): string {
  const line = (text ?? '')
    .slice(0, MAX_SEARCHED)
    .replace(CREDENTIALS, '<secret>')
    .replace(/[\s\p{Cc}\p{Cf}\p{Cs}]+/gu, ' ')
    .trim()
  if (line === '') return 'no reason given'
  return line.length > length ? `${line.slice(0, length).replace(/[\uD800-\uDBFF]$/, '')}…` : line
}

const NO_REASON = 'the gateway does not say why'

/** Enough for any error, and patterns stay fast. */
const MAX_SEARCHED = 8192

const nothing = { names: [], text: '', said: '', headers: {}, isPage: false } as const

/** JSON Web Tokens, API keys, and what follows `Bearer`: an error may quote the request. */
const CREDENTIALS =
  /\beyJ[\w-]{8,}(\.[\w-]*){0,2}|\bsk-[\w*-]{8,}|(?<=\bBearer\s{1,9})[^\s"'<>]{8,}/gi

interface ServiceError {
  code?: string | undefined
  type?: string | undefined
  message?: string | undefined
  param?: string | undefined
  plan?: string | undefined
  /** Epoch ms. */
  resetsAt?: number | undefined
}

/** The service's own format is `{"error": {...}}`; its gateway's is `{"detail": "..."}`. */
function parseError(body: string): ServiceError {
  let json: unknown
  try {
    json = JSON.parse(body)
  } catch {
    return {}
  }
  const error = field(json, 'error')
  if (error !== undefined && error !== null) return readError(error)
  const detail = field(json, 'detail')
  if (typeof detail === 'string') return { message: detail }
  return { code: string(field(detail, 'code')), message: string(field(detail, 'message')) }
}

function readError(error: unknown): ServiceError {
  if (typeof error === 'string') return { code: error, message: error }
  const resetsAt = field(error, 'resets_at')
  return {
    code: string(field(error, 'code')),
    type: string(field(error, 'type')),
    message: string(field(error, 'message')),
    param: string(field(error, 'param')),
    plan: string(field(error, 'plan_type')),
    resetsAt: typeof resetsAt === 'number' ? epochMs(resetsAt) : undefined,
  }
}

/** Undefined for a time outside the range of Date. */
function epochMs(seconds: number): number | undefined {
  const ms = Math.round(seconds * 1000)
  return ms >= 0 && ms <= 8.64e15 ? ms : undefined
}

/** When the used-up window ends; with two of them, the later. */
function limitEnd(limits: ReturnType<typeof readLimits>): number | undefined {
  const stopped = limits?.limits.find(({ id }) => id === (limits.reached ?? 'codex'))
  const ends = [stopped?.primary, stopped?.secondary].flatMap((window) =>
    window && window.usedPercent >= 100 && window.resetsAt !== undefined ? [window.resetsAt] : [],
  )
  return ends.length > 0 ? Math.max(...ends) : undefined
}

/** `x-error-json` holds an error in base64, for answers whose body is from another server. */
function encodedCode(headers: FailureFacts['headers']): string | undefined {
  const encoded = headerOf(headers, 'x-error-json')
  if (!encoded) return undefined
  return parseError(Buffer.from(encoded, 'base64').toString('utf8')).code
}

function isHtml(headers: FailureFacts['headers'], body: string): boolean {
  return (
    isPageType(headerOf(headers, 'content-type')) || /^\s*<(!doctype|html|head|body)\b/i.test(body)
  )
}

function titleOf(page: string): string | undefined {
  return /<(title|h1)\b[^>]{0,200}>([^<]{1,1000})/i.exec(page)?.[2]
}

function label(name: string, value: string | undefined): string | undefined {
  return value && `${name} ${oneLine(value, 100)}`
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  return (value as Record<string, unknown>)[name]
}

function string(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
