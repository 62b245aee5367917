import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ModelFailure } from '../../container/agent/model-failure.ts'
import {
  MAX_ELAPSED_MS,
  MAX_RETRIES,
  MAX_WAIT_MS,
  RetryPolicy,
} from '../../container/agent/retry-policy.ts'

const aFailure = (given: Partial<ModelFailure> = {}): ModelFailure => ({
  code: 'model-failed',
  message: 'It failed.',
  remedy: 'retry',
  ...given,
})

/** A policy on a clock that stands still until it is moved. */
function aPolicy(random = 0.5) {
  const clock = { ms: 1_000_000 }
  return {
    clock,
    policy: new RetryPolicy(
      () => clock.ms,
      () => random,
    ),
  }
}

describe('how long to wait', () => {
  test.each([
    ['in the middle', 0.5, [200, 400, 800, 1600, 3200]],
    ['at least', 0, [180, 360, 720, 1440, 2880]],
    ['at most', 1, [220, 440, 880, 1760, 3520]],
  ])('doubles from 200 ms, give or take a tenth (%s)', (_, random, delays) => {
    const { policy } = aPolicy(random)

    const steps = delays.map(() => policy.next(aFailure()))

    expect(steps).toEqual(delays.map((delayMs, index) => ({ attempt: index + 1, delayMs })))
  })

  test('is what the service asked for, nothing at all included', () => {
    const { policy } = aPolicy()

    expect(policy.next(aFailure({ waitMs: 1300 }))).toEqual({ attempt: 1, delayMs: 1300 })
    expect(policy.next(aFailure({ waitMs: 0 }))).toEqual({ attempt: 2, delayMs: 0 })
    expect(policy.next(aFailure({ waitMs: MAX_WAIT_MS }))).toMatchObject({ delayMs: MAX_WAIT_MS })
  })
})

describe('when to give up', () => {
  test('after five retries, with the number of tries in the sentence', () => {
    const { policy } = aPolicy()
    for (let retry = 1; retry <= MAX_RETRIES; retry++) policy.next(aFailure({ waitMs: 0 }))

    const message = 'It failed. Tried 6 times.'
    expect(policy.next(aFailure())).toEqual({ giveUp: { code: 'model-failed', message } })
  })

  test('at once, and with the time, when the service asks for more than is bearable', () => {
    const { policy } = aPolicy()
    const failure = aFailure({ waitMs: MAX_WAIT_MS + 1, retryAt: 42 })

    const giveUp = { code: 'model-failed', message: 'It failed.', retryAt: 42 }
    expect(policy.next(failure)).toEqual({ giveUp })
  })

  test('when all of it has taken too long', () => {
    const { policy, clock } = aPolicy()
    policy.next(aFailure())
    clock.ms += MAX_ELAPSED_MS - 1000

    expect(policy.next(aFailure({ waitMs: 1000 }))).toHaveProperty('delayMs')
    expect(policy.next(aFailure({ waitMs: 1001 }))).toHaveProperty('giveUp')
  })

  test.each(['give-up', 'ask-for-secrets', 'drop-reasoning', 'drop-images', 'compact'] as const)(
    'when something else than a retry is called for (%s)',
    (remedy) => {
      const { policy } = aPolicy()

      const giveUp = { code: 'model-failed', message: 'It failed.' }
      expect(policy.next(aFailure({ remedy, waitMs: 1 }))).toEqual({ giveUp })
    },
  )
})

test('a success gives back the number and the time', () => {
  const { policy, clock } = aPolicy()
  for (let retry = 1; retry <= MAX_RETRIES; retry++) policy.next(aFailure())
  clock.ms += MAX_ELAPSED_MS

  policy.succeeded()

  expect(policy.next(aFailure())).toEqual({ attempt: 1, delayMs: 200 })
})

test('no row of failures keeps a run longer than the bounds', () => {
  const failures = fc.array(
    fc.record({
      waitMs: fc.option(fc.oneof(fc.nat(), fc.nat({ max: MAX_WAIT_MS })), { nil: undefined }),
      tookMs: fc.nat({ max: MAX_ELAPSED_MS }),
    }),
    { minLength: MAX_RETRIES + 1, maxLength: MAX_RETRIES + 1 },
  )
  fc.assert(
    fc.property(failures, fc.double({ min: 0, max: 1, noNaN: true }), (row, random) => {
      const { policy, clock } = aPolicy(random)
      const startedAt = clock.ms
      let retries = 0
      for (const { waitMs, tookMs } of row) {
        const step = policy.next(aFailure(waitMs === undefined ? {} : { waitMs }))
        if ('giveUp' in step) break
        retries++
        clock.ms += step.delayMs
        expect(clock.ms - startedAt).toBeLessThanOrEqual(MAX_ELAPSED_MS)
        clock.ms += tookMs
      }
      expect(retries).toBeLessThanOrEqual(MAX_RETRIES)
    }),
  )
})
