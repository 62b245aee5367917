import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Limits } from '../../shared/limits.ts'
import { readLimits, readLimitsBody } from '../../shared/read-limits.ts'

const NOW = 1_795_192_000_000

const general = {
  'x-codex-primary-used-percent': '37.5',
  'x-codex-primary-window-minutes': '300',
  'x-codex-primary-reset-at': '1795209178',
  'x-codex-secondary-used-percent': '12',
  'x-codex-secondary-window-minutes': '10080',
  'x-codex-secondary-reset-at': '1795709178',
}
const generalLimit = {
  id: 'codex',
  primary: { usedPercent: 37.5, windowMinutes: 300, resetsAt: 1_795_209_178_000 },
  secondary: { usedPercent: 12, windowMinutes: 10_080, resetsAt: 1_795_709_178_000 },
}

describe('headers', () => {
  test('both windows of the general limit, and credits', () => {
    const headers = {
      ...general,
      'x-codex-credits-has-credits': 'True',
      'x-codex-credits-unlimited': '0',
      'x-codex-credits-balance': '12.50',
      'x-request-id': 'req_1',
    }

    expect(readLimits(headers, NOW)).toEqual({
      limits: [generalLimit],
      credits: { hasCredits: true, unlimited: false, balance: '12.50' },
    })
  })

  test('the plan by a header of its own, and booleans in the case of titles', () => {
    const headers = {
      'x-codex-plan-type': 'plus',
      'x-codex-credits-has-credits': 'False',
      'x-codex-credits-unlimited': 'False',
    }

    expect(readLimits(headers, NOW)).toEqual({
      plan: 'plus',
      limits: [],
      credits: { hasCredits: false, unlimited: false },
    })
  })

  test('further limits by their id, the general one first', () => {
    const headers = {
      'x-codex-large-primary-used-percent': '100',
      'x-codex-large-primary-reset-at': '1795209178',
      'x-codex-large-limit-name': 'GPT-Large',
      ...general,
      'x-codex-active-limit': 'codex-large',
      'x-codex-rate-limit-reached-type': 'rate_limit_reached',
    }

    expect(readLimits(headers, NOW)).toEqual({
      limits: [
        generalLimit,
        {
          id: 'codex_large',
          name: 'GPT-Large',
          primary: { usedPercent: 100, resetsAt: 1_795_209_178_000 },
        },
      ],
      reached: 'codex_large',
      reachedType: 'rate_limit_reached',
    })
  })

  test.each<[why: string, window: Record<string, string>, expected: object | undefined]>([
    ['a use alone', { 'used-percent': '1' }, { usedPercent: 1 }],
    [
      'no use, in a window',
      { 'used-percent': '0', 'window-minutes': '300' },
      { usedPercent: 0, windowMinutes: 300 },
    ],
    [
      'a reset that is counted from now',
      { 'used-percent': '5', 'reset-after-seconds': '60' },
      { usedPercent: 5, resetsAt: NOW + 60_000 },
    ],
    [
      'parts that cannot be read',
      { 'used-percent': '5', 'window-minutes': 'long', 'reset-at': '-3' },
      { usedPercent: 5 },
    ],
    [
      'a reset beyond all dates',
      { 'used-percent': '5', 'reset-at': '9'.repeat(20) },
      { usedPercent: 5 },
    ],
    ['a window without use', { 'window-minutes': '300', 'reset-at': '1795209178' }, undefined],
    ['a window of zeros', { 'used-percent': '0', 'window-minutes': '0' }, undefined],
    ['a use that is none', { 'used-percent': 'NaN', 'window-minutes': '300' }, undefined],
  ])('%s', (_, window, expected) => {
    const headers = Object.fromEntries(
      Object.entries(window).map(([name, value]) => [`X-Codex-Primary-${name}`, value]),
    )

    expect(readLimits(headers, NOW)?.limits[0]?.primary).toEqual(expected)
  })

  test('of other matters say nothing', () => {
    expect(readLimits({}, NOW)).toBeUndefined()
    expect(readLimits({ 'x-request-id': 'a', 'x-codex-turn-state': 'b' }, NOW)).toBeUndefined()
    expect(readLimits({ 'x-codex-credits-has-credits': 'true' }, NOW)).toBeUndefined()
  })
})

describe('JSON', () => {
  test('the body of the usage endpoint', () => {
    const window = (used_percent: number, limit_window_seconds: number, reset_at: number) => ({
      used_percent,
      limit_window_seconds,
      reset_after_seconds: 1,
      reset_at,
    })
    const body = {
      plan_type: 'pro',
      rate_limit: {
        allowed: true,
        limit_reached: false,
        primary_window: window(37.5, 18_000, 1_795_209_178),
        secondary_window: window(12, 604_800, 1_795_709_178),
      },
      additional_rate_limits: [
        {
          limit_name: 'GPT-Large',
          metered_feature: 'codex_large',
          rate_limit: { primary_window: window(1, 3600, 1_795_209_178), secondary_window: null },
        },
        { limit_name: 'Unused', metered_feature: 'unused', rate_limit: null },
      ],
      credits: { has_credits: true, unlimited: false, balance: '9.99' },
      rate_limit_reached_type: null,
    }

    expect(readLimitsBody(body, NOW)).toEqual({
      plan: 'pro',
      limits: [
        generalLimit,
        {
          id: 'codex_large',
          name: 'GPT-Large',
          primary: { usedPercent: 1, windowMinutes: 60, resetsAt: 1_795_209_178_000 },
        },
        { id: 'unused', name: 'Unused' },
      ],
      credits: { hasCredits: true, unlimited: false, balance: '9.99' },
    })
  })

  test('an object in the place of a word is no word, whatever it says of itself', () => {
    const credits = { has_credits: { toString: '' }, unlimited: '', balance: [] }

    expect(readLimitsBody({ credits }, NOW)).toBeUndefined()
  })

  test('the event of a stream', () => {
    const event = {
      type: 'codex.rate_limits',
      plan_type: 'plus',
      rate_limits: {
        primary: { used_percent: 37.5, window_minutes: 300, reset_at: 1_795_209_178 },
        secondary: { used_percent: 12, window_minutes: 10_080, reset_at: 1_795_709_178 },
      },
      credits: null,
    }

    expect(readLimitsBody(event, NOW)).toEqual({ plan: 'plus', limits: [generalLimit] })
    expect(readLimitsBody({ ...event, metered_limit_name: 'codex-large' }, NOW)).toMatchObject({
      limits: [{ ...generalLimit, id: 'codex_large', name: 'codex-large' }],
    })
  })

  test('a limit that is reached is named', () => {
    const rate_limit = { limit_reached: true, primary_window: { used_percent: 100 } }
    const rate_limit_reached_type = { type: 'workspace_member_credits_depleted' }

    expect(readLimitsBody({ rate_limit, rate_limit_reached_type }, NOW)).toMatchObject({
      reached: 'codex',
      reachedType: 'workspace_member_credits_depleted',
    })
  })

  test.each([null, 1, 'text', [], {}, { rate_limit: [] }, { plan_type: 'pro' }])(
    '%j says nothing',
    (json) => {
      expect(readLimitsBody(json, NOW)).toBeUndefined()
    },
  )
})

describe('whatever comes is read, or left aside', () => {
  const valid = (limits: Limits | undefined) => {
    if (!limits) return
    expect(Limits.parse(limits)).toEqual(limits)
    expect(JSON.stringify(limits).length).toBeLessThan(20_000)
  }
  const family = fc.constantFrom('codex', 'codex-large', 'a', '-', '__proto__', 'a-primary')
  const known = fc.constantFrom(
    'primary-used-percent',
    'primary-window-minutes',
    'primary-reset-at',
    'secondary-used-percent',
    'secondary-reset-after-seconds',
    'limit-name',
    'active-limit',
    'credits-has-credits',
    'credits-unlimited',
    'credits-balance',
    'rate-limit-reached-type',
    'plan-type',
  )
  const name = fc.oneof(
    fc.tuple(family, known).map(([of, what]) => `x-${of}-${what}`),
    fc.string(),
    fc.constantFrom('__proto__', 'constructor', `x-${'a-'.repeat(2000)}limit-name`),
  )
  const value = fc.oneof(
    fc.constantFrom('true', '0', '100', '1795209178', '-1', '1e400', 'NaN', '9'.repeat(400)),
    fc.string(),
    fc.double().map(String),
    fc.constant('x'.repeat(5000)),
    fc.array(fc.string(), { maxLength: 2 }),
    fc.constant(undefined),
  )

  test('headers', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 60 }), (pairs) => {
        valid(readLimits(Object.fromEntries(pairs), NOW))
      }),
    )
  })

  test('a flood of families', () => {
    const headers = Array.from({ length: 10_000 }, (_, index) => [`x-l${index}-limit-name`, 'L'])

    expect(readLimits(Object.fromEntries(headers), NOW)?.limits).toHaveLength(20)
  })

  test('JSON', () => {
    const window = fc.record({ used_percent: fc.jsonValue(), reset_at: fc.jsonValue() })
    const limit = fc.record({ primary_window: window, primary: window, secondary: fc.jsonValue() })
    const body = fc.record(
      {
        plan_type: fc.jsonValue(),
        rate_limit: limit,
        rate_limits: limit,
        limit_name: fc.jsonValue(),
        additional_rate_limits: fc.array(
          fc.record({ limit_name: fc.jsonValue(), rate_limit: limit }),
        ),
        credits: fc.record({
          has_credits: fc.jsonValue(),
          unlimited: fc.jsonValue(),
          balance: fc.jsonValue(),
        }),
        rate_limit_reached_type: fc.jsonValue(),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(fc.oneof(body, fc.jsonValue()), (json) => valid(readLimitsBody(json, NOW))),
    )
  })
})
