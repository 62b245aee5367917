import type { Limit, Limits, LimitWindow } from './limits.ts'

/** More families or longer names than these are not meant for us. */
const MAX_LIMITS = 20
const MAX_NAME_CHARS = 200

/**
 * What the headers of an answer or a refusal say about the limits of the plan. Undefined when nothing.
 * The general limit is called `codex`, and comes first; others are a family of headers each, by the
 * same names. Never throws: what cannot be read is not there.
 */
export function readLimits(
  headers: NodeJS.Dict<string | string[]>,
  now = Date.now(),
): Limits | undefined {
  const said = new Map<string, string>()
  for (const [name, value] of Object.entries(headers)) {
    const text = (Array.isArray(value) ? value[0] : value)?.trim()
    if (text) said.set(name.toLowerCase(), text)
  }
  const families = new Set(['codex'])
  for (const name of said.keys()) {
    const family = FAMILY.exec(name)?.[1]
    if (family && family.length <= MAX_NAME_CHARS) families.add(family)
  }
  const window = (name: string) =>
    readWindow({
      usedPercent: said.get(`${name}-used-percent`),
      minutes: said.get(`${name}-window-minutes`),
      resetsAt: said.get(`${name}-reset-at`),
      resetsIn: said.get(`${name}-reset-after-seconds`),
      now,
    })
  const limits = [...families].map((family) =>
    limit(
      idOf(family),
      said.get(`x-${family}-limit-name`),
      window(`x-${family}-primary`),
      window(`x-${family}-secondary`),
    ),
  )
  const active = said.get('x-codex-active-limit')
  return limitsOf({
    plan: said.get('x-codex-plan-type'),
    limits,
    credits: readCredits(
      said.get('x-codex-credits-has-credits'),
      said.get('x-codex-credits-unlimited'),
      said.get('x-codex-credits-balance'),
    ),
    reached: active && idOf(active),
    reachedType: said.get('x-codex-rate-limit-reached-type'),
  })
}

/**
 * The same from JSON, parsed: the body of the usage endpoint, or a `codex.rate_limits` event of a
 * stream. Undefined when it says nothing of limits.
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

/** Undefined when nothing is known but the id. */
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

/** A window of zeros stands for one that the plan does not have. */
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

/** Epoch ms; undefined for what a date cannot hold. */
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

interface Found {
  plan: string | undefined
  limits: (Limit | undefined)[]
  credits: Limits['credits']
  reached: string | undefined
  reachedType: string | undefined
}

function limitsOf(found: Found): Limits | undefined {
  const limits = found.limits.filter((limit) => limit !== undefined).slice(0, MAX_LIMITS)
  const { plan, credits, reached, reachedType } = found
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

/** Neither negative nor infinite; also from text. */
function number(value: unknown): number | undefined {
  const isText = typeof value === 'string' && /^\s*\d+(\.\d+)?\s*$/.test(value)
  const read = isText ? Number(value) : value
  return typeof read === 'number' && Number.isFinite(read) && read >= 0 ? read : undefined
}

function boolean(value: unknown): boolean | undefined {
  // An object may have a way of its own to become text, or none.
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
