import type { Limit, Limits, LimitWindow } from './limits.ts'

/** Bounds for untrusted headers: more families and longer names are cut off. */
const MAX_LIMITS = 20
const MAX_NAME_CHARS = 200

/**
 * The limits of the plan in the headers of an answer or a refusal. Undefined without any. The general
 * limit is `codex`, and comes first; each further limit is a family of headers with the same endings.
 * Never throws: a header that cannot be parsed counts as absent.
 */
export function readLimits(
  headers: NodeJS.Dict<string | string[]>,
  now = Date.now(),
): Limits | undefined {
  const values = new Map<string, string>()
  for (const [name, value] of Object.entries(headers)) {
    const text = (Array.isArray(value) ? value[0] : value)?.trim()
    if (text) values.set(name.toLowerCase(), text)
  }
  const families = new Set(['codex'])
  for (const name of values.keys()) {
    const family = FAMILY.exec(name)?.[1]
    if (family && family.length <= MAX_NAME_CHARS) families.add(family)
  }
  const window = (name: string) =>
    readWindow({
      usedPercent: values.get(`${name}-used-percent`),
      minutes: values.get(`${name}-window-minutes`),
      resetsAt: values.get(`${name}-reset-at`),
      resetsIn: values.get(`${name}-reset-after-seconds`),
      now,
    })
  const limits = [...families].map((family) =>
    limit(
      idOf(family),
      values.get(`x-${family}-limit-name`),
      window(`x-${family}-primary`),
      window(`x-${family}-secondary`),
    ),
  )
  const active = values.get('x-codex-active-limit')
  return limitsOf({
    plan: values.get('x-codex-plan-type'),
    limits,
    credits: readCredits(
      values.get('x-codex-credits-has-credits'),
      values.get('x-codex-credits-unlimited'),
      values.get('x-codex-credits-balance'),
    ),
    reached: active && idOf(active),
    reachedType: values.get('x-codex-rate-limit-reached-type'),
  })
}

/**
 * The same from parsed JSON: the body of the usage endpoint, or a `codex.rate_limits` event of a
 * stream. Undefined without any limit.
 */
export function readLimitsBody(json: unknown, now = Date.now()): Limits | undefined {
  const further = field(json, 'additional_rate_limits')
  const event = field(json, 'rate_limits')
  const name = string(field(json, 'metered_limit_name')) ?? string(field(json, 'limit_name'))
  const general = field(json, 'rate_limit')
  const credits = field(json, 'credits')
  const reachedType = field(json, 'rate_limit_reached_type')
  return limitsOf({
    plan: string(field(json, 'plan_type')),
    limits: [
      limitOfBody('codex', undefined, general, now),
      event === undefined ? undefined : limitOfBody(idOf(name ?? 'codex'), name, event, now),
      ...(Array.isArray(further) ? further.slice(0, MAX_LIMITS) : []).map((entry: unknown) => {
        const title = string(field(entry, 'limit_name'))
        const id = string(field(entry, 'metered_feature')) ?? title
        return id ? limitOfBody(idOf(id), title, field(entry, 'rate_limit'), now) : undefined
      }),
    ],
    credits: readCredits(
      field(credits, 'has_credits'),
      field(credits, 'unlimited'),
      field(credits, 'balance'),
    ),
    reached: field(general, 'limit_reached') === true ? 'codex' : undefined,
    reachedType: string(reachedType) ?? string(field(reachedType, 'type')),
  })
}

const FAMILY =
  /^x-([a-z0-9][a-z0-9_-]*?)-(?:(?:primary|secondary)-(?:used-percent|window-minutes|reset-at|reset-after-seconds)|limit-name)$/

function limitOfBody(id: string, name: string | undefined, body: unknown, now: number) {
  const window = (value: unknown) =>
    readWindow({
      usedPercent: field(value, 'used_percent'),
      minutes: field(value, 'window_minutes'),
      seconds: field(value, 'limit_window_seconds'),
      resetsAt: field(value, 'reset_at'),
      resetsIn: field(value, 'reset_after_seconds'),
      now,
    })
  return limit(
    id,
    name,
    window(field(body, 'primary') ?? field(body, 'primary_window')),
    window(field(body, 'secondary') ?? field(body, 'secondary_window')),
  )
}

/** Undefined when only the id is known. */
function limit(
  id: string,
  name: string | undefined,
  primary: LimitWindow | undefined,
  secondary: LimitWindow | undefined,
): Limit | undefined {
  if (!name && !primary && !secondary) return undefined
  return {
    id,
    ...(name ? { name: name.slice(0, MAX_NAME_CHARS) } : {}),
    ...(primary ? { primary } : {}),
    ...(secondary ? { secondary } : {}),
  }
}

interface WrittenWindow {
  usedPercent: unknown
  minutes?: unknown
  seconds?: unknown
  /** Unix seconds. */
  resetsAt: unknown
  resetsIn: unknown
  now: number
}

/** All zeros mean that the plan does not have this window. */
function readWindow(written: WrittenWindow): LimitWindow | undefined {
  const usedPercent = number(written.usedPercent)
  if (usedPercent === undefined) return undefined
  const seconds = number(written.seconds)
  const windowMinutes = number(written.minutes) ?? (seconds && seconds / 60)
  const resetsAt = resetTime(written)
  if (usedPercent === 0 && !windowMinutes && resetsAt === undefined) return undefined
  return {
    usedPercent,
    ...(windowMinutes ? { windowMinutes } : {}),
    ...(resetsAt === undefined ? {} : { resetsAt }),
  }
}

/** Epoch ms; undefined outside the range of Date. */
function resetTime({ resetsAt, resetsIn, now }: WrittenWindow): number | undefined {
  const at = number(resetsAt)
  const after = number(resetsIn)
  const ms = at ? at * 1000 : after === undefined ? undefined : now + after * 1000
  return ms !== undefined && ms <= 8.64e15 ? Math.round(ms) : undefined
}

function readCredits(has: unknown, isUnlimited: unknown, balance: unknown): Limits['credits'] {
  const hasCredits = boolean(has)
  const unlimited = boolean(isUnlimited)
  if (hasCredits === undefined || unlimited === undefined) return undefined
  const text = string(balance) ?? number(balance)?.toString()
  return { hasCredits, unlimited, ...(text ? { balance: text.slice(0, MAX_NAME_CHARS) } : {}) }
}

interface RawLimits {
  plan: string | undefined
  limits: (Limit | undefined)[]
  credits: Limits['credits']
  reached: string | undefined
  reachedType: string | undefined
}

function limitsOf(raw: RawLimits): Limits | undefined {
  const limits = raw.limits.filter((limit) => limit !== undefined).slice(0, MAX_LIMITS)
  const { plan, credits, reached, reachedType } = raw
  if (limits.length === 0 && !credits && !reached && !reachedType) return undefined
  return {
    ...(plan ? { plan: plan.slice(0, MAX_NAME_CHARS) } : {}),
    limits,
    ...(credits ? { credits } : {}),
    ...(reached ? { reached: reached.slice(0, MAX_NAME_CHARS) } : {}),
    ...(reachedType ? { reachedType: reachedType.slice(0, MAX_NAME_CHARS) } : {}),
  }
}

/** Header names cannot hold the underscores of an id. */
const idOf = (family: string) => family.toLowerCase().replaceAll('-', '_').slice(0, MAX_NAME_CHARS)

/** A finite number from 0, also from text. */
function number(value: unknown): number | undefined {
  const isText = typeof value === 'string' && /^\s*\d+(\.\d+)?\s*$/.test(value)
  const parsed = isText ? Number(value) : value
  return typeof parsed === 'number' && Number.isFinite(parsed) && parsed >= 0 ? parsed : undefined
}

function boolean(value: unknown): boolean | undefined {
  // Not an object: its `toString` may throw or be custom.
  const text = typeof value === 'object' ? '' : String(value).toLowerCase()
  if (text === 'true' || text === '1') return true
  return text === 'false' || text === '0' ? false : undefined
}

function string(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : undefined
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  return (value as Record<string, unknown>)[name]
}
