import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { failedAnswer, textAnswer } from '../fakes/model-server.ts'
import { eventsOf, expectBackoff, play, start } from './replay.ts'

/** What the official client (codex-cli 0.171.0) did about one bad answer followed by a good one. */
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

const SAME_AGAIN = 'the same request gets the same answer'

/** Where we are final and the official client is not, and why. */
const DIFFERENCES = {
  status: {
    402: 'a bill is not paid within seconds',
    405: SAME_AGAIN,
    410: SAME_AGAIN,
    413: SAME_AGAIN,
    415: SAME_AGAIN,
    422: SAME_AGAIN,
    451: 'laws do not change within seconds',
  } as Record<number, string>,
  failedCode: {
    usage_limit_reached: 'a limit of hours is not lifted by five retries within seconds',
    account_deactivated: 'an account is not brought back within seconds',
    image_parse_error: SAME_AGAIN,
    invalid_image: SAME_AGAIN,
  } as Record<string, string>,
  hint: {
    'Try again in 1m2s': 62_000,
    'try again in 1 minute': 60_000,
  } as Record<string, number>, // Minutes are understood: coming back early only prolongs the limit.
}

const FINAL_CODES: Record<string, string> = {
  400: 'model-refused',
  402: 'usage-limit',
  405: 'model-refused',
  410: 'model-refused',
  413: 'context-full',
  415: 'model-refused',
  422: 'model-refused',
  429: 'rate-limited',
  451: 'model-refused',
  insufficient_quota: 'usage-limit',
  usage_not_included: 'plan-without-codex',
  usage_limit_reached: 'usage-limit',
  invalid_prompt: 'model-refused',
  cyber_policy: 'model-refused',
  bio_policy: 'model-refused',
  model_not_found: 'model-unknown',
  server_is_overloaded: 'model-failed',
  account_deactivated: 'model-refused',
  image_parse_error: 'model-refused',
  invalid_image: 'model-refused',
}

const outcomeOf = (requests: number) => (requests === 1 ? 'final' : 'retried')

/** What is expected of a row of the recording, and how its test is called. */
function expectation(requests: number, difference: string | undefined) {
  const ours = difference ? 1 : requests
  const note = difference ? ` (the official client: ${outcomeOf(requests)})` : ''
  return { requests: ours, outcome: outcomeOf(ours) + note }
}

describe.concurrent('by HTTP status', () => {
  // The host is asked for a new token first; the tests of refused tokens show it.
  const rows = matrix.status.filter((row) => row.status !== 401)
  const titled = rows.map((row) => ({
    ...row,
    ...expectation(row.requests, DIFFERENCES.status[row.status]),
  }))

  test.for(titled)('$status is $outcome', async ({ status, body, requests }, t) => {
    const { finished, server } = await play(t, [{ status, body }, textAnswer()])

    expect(server.requests).toHaveLength(requests)
    if (requests === 2) expect(finished.status).toBe('done')
    else expect(finished).toMatchObject({ status: 'failed', error: { code: FINAL_CODES[status] } })
  })
})

describe.concurrent('by code of response.failed', () => {
  // A context that is full is made shorter; the tests of whole recordings show it.
  const rows = matrix.failed_code.filter((row) => row.code !== 'context_length_exceeded')
  const titled = rows.map((row) => ({
    ...row,
    ...expectation(row.requests, DIFFERENCES.failedCode[`${row.code}`]),
  }))

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

/** The advice by plan, in a word of its sentence. */
const ADVICE: Record<string, RegExp> = {
  'Upgrade to Plus': /^(free|go)$/,
  'Upgrade to Pro': /^plus$/,
  'Buy credits': /^pro/,
  'Ask your administrator': /^(team|business|self_serve_.*|enterprise_.*|ent26|sci)$/,
}

describe.concurrent('usage limits', () => {
  test.for(matrix.usage_limit_plan)('plan $plan_type: final', async ({ plan_type }, t) => {
    const error = { type: 'usage_limit_reached', plan_type, resets_at: 1_795_451_057 }
    const { finished, server } = await play(t, [{ status: 429, body: { error } }, textAnswer()])

    expect(server.requests).toHaveLength(1)
    expect(finished).toMatchObject({
      status: 'failed',
      error: { code: 'usage-limit', resetsAt: 1_795_451_057_000 },
    })
    const [advice] = Object.entries(ADVICE).find(([, plans]) => plans.test(`${plan_type}`)) ?? []
    expect(finished.error?.message).toContain(` ${advice ?? 'To go on, wait'} `)
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
