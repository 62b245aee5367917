import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { failedAnswer, textAnswer } from '../fakes/model-server.ts'
import { eventsOf, expectBackoff, play, start } from './replay.ts'

/** What the official client (codex-cli 0.169.0) did about one bad answer followed by a good one. */
interface Matrix {
  status: { status: number; body: unknown; requests: number }[]
  failed_code: { code: string | null; message: string; requests: number }[]
  try_again_hint: { code: string; message: string; gap_ms: number }[]
  usage_limit_plan: { plan_type: string | null; requests: number }[]
  usage_limit_reset: { resets_at?: number; resets_in_seconds?: number; requests: number }[]
}

const matrix = JSON.parse(
  readFileSync(join(import.meta.dirname, '../fixtures/recordings/matrix-errors.json'), 'utf8'),
) as Matrix

/** Where we differ, and why. */
const DIFFERENCES = {
  status: {
    401: 'the host is asked for a new token first; the tests of refused tokens show it',
  } as Record<number, string>,
  failedCode: {
    usage_limit_reached: 'a limit of hours is not lifted by five retries within seconds',
  } as Record<string, string>,
  hint: {
    'Try again in 1m2s': 62_000,
    'try again in 1 minute': 60_000,
  } as Record<string, number>, // Minutes are understood: coming back early only prolongs the limit.
}

const FINAL_CODES: Record<string, string> = {
  400: 'model-refused',
  429: 'rate-limited',
  context_length_exceeded: 'context-full',
  insufficient_quota: 'usage-limit',
  usage_not_included: 'plan-without-codex',
  usage_limit_reached: 'usage-limit',
  invalid_prompt: 'model-refused',
  cyber_policy: 'model-refused',
  bio_policy: 'model-refused',
  model_not_found: 'model-unknown',
  server_is_overloaded: 'model-failed',
}

const outcomeOf = (requests: number) => (requests === 1 ? 'final' : 'retried')

describe.concurrent('by HTTP status', () => {
  const rows = matrix.status.filter((row) => !DIFFERENCES.status[row.status])
  const titled = rows.map((row) => ({ ...row, outcome: outcomeOf(row.requests) }))

  test.for(titled)('$status is $outcome', async ({ status, body, requests }, t) => {
    const { finished, server } = await play(t, [{ status, body }, textAnswer()])

    expect(server.requests).toHaveLength(requests)
    if (requests === 2) expect(finished.status).toBe('done')
    else expect(finished).toMatchObject({ status: 'failed', error: { code: FINAL_CODES[status] } })
  })
})

describe.concurrent('by code of response.failed', () => {
  const titled = matrix.failed_code.map((row) => {
    const requests = DIFFERENCES.failedCode[`${row.code}`] ? 1 : row.requests
    const note = requests === row.requests ? '' : ' (the official client: retried)'
    return { ...row, requests, outcome: outcomeOf(requests) + note }
  })

  test.for(titled)('$code is $outcome', async ({ code, message, requests }, t) => {
    const { agent, finished, server } = await play(t, [failedAnswer(code, message), textAnswer()])

    expect(server.requests).toHaveLength(requests)
    if (requests === 2) {
      expect(finished.status).toBe('done')
      expectBackoff(eventsOf(agent, 'retry').map((retry) => retry.delayMs))
    } else {
      const error = { code: FINAL_CODES[`${code}`] }
      expect(finished).toMatchObject({ status: 'failed', error })
    }
  })
})

describe.concurrent('by hint in the text of a rate limit', () => {
  test.for(matrix.try_again_hint)('"$message"', async ({ code, message, gap_ms }, t) => {
    const { agent } = await start(t, [failedAnswer(code, message), textAnswer()])

    const { delayMs } = await agent.until('retry')
    const ours = DIFFERENCES.hint[message]
    const hinted = /in ([\d.]+) ?(ms|s)/i.exec(message)
    if (ours) expect(delayMs).toBeGreaterThanOrEqual(ours)
    else if (!hinted) expectBackoff([delayMs])
    else expect(delayMs).toBe(Number(hinted[1]) * (hinted[2]?.toLowerCase() === 'ms' ? 1 : 1000))
    // The recorded gap holds the way to and from the server as well.
    if (!ours && hinted) expect(gap_ms).toBeGreaterThanOrEqual(delayMs)
  })
})

describe.concurrent('usage limits', () => {
  test.for(matrix.usage_limit_plan)('plan $plan_type: final', async ({ plan_type }, t) => {
    const error = { type: 'usage_limit_reached', plan_type, resets_at: 1_795_451_057 }
    const { finished, server } = await play(t, [{ status: 429, body: { error } }, textAnswer()])

    expect(server.requests).toHaveLength(1)
    expect(finished).toMatchObject({
      status: 'failed',
      error: { code: 'usage-limit', resetsAt: 1_795_451_057_000 },
    })
  })

  test.for(matrix.usage_limit_reset)(
    'reset %j: only a point in time is passed on',
    async ({ requests, ...reset }, t) => {
      const error = { type: 'usage_limit_reached', plan_type: 'pro', ...reset }
      const { finished, server } = await play(t, [{ status: 429, body: { error } }, textAnswer()])

      expect(server.requests).toHaveLength(requests)
      expect(finished.error?.code).toBe('usage-limit')
      expect(finished.error?.resetsAt).toBe(reset.resets_at && reset.resets_at * 1000)
    },
  )
})
