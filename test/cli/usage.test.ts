import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import { type JsonReply, type JsonService, startJsonService } from '../fakes/json-service.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { type Home, openHome } from './cli-process.ts'
import { signedIn, USAGE } from './signed-in.ts'

const HOUR = 3_600

let home: Home
let service: JsonService

beforeEach(async () => {
  home = openHome()
  service = await startJsonService()
})

afterEach(async () => {
  await service.close()
  home.clear()
})

/** What the service says of a plan; `usedPercent` of its windows of five hours and of a week. */
function usage(fiveHours: number, week: number, about: object = {}): JsonReply {
  const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds
  const window = (used_percent: number, seconds: number, reset: number) => ({
    used_percent,
    limit_window_seconds: seconds,
    reset_after_seconds: reset,
    reset_at: inSeconds(reset),
  })
  return {
    json: {
      plan_type: 'plus',
      rate_limit: {
        allowed: true,
        limit_reached: false,
        primary_window: window(fiveHours, 5 * HOUR, 2 * HOUR + 600),
        secondary_window: window(week, 7 * 24 * HOUR, 50 * HOUR),
      },
      credits: { has_credits: true, unlimited: false, balance: '12.50' },
      ...about,
    },
  }
}

test('shows the plan, each window with what is used and when it begins anew, and the credits', async () => {
  service.replies[USAGE] = [usage(25, 80.9)]

  const { code, stdout, stderr } = await home.run(['usage'], { env: await signedIn(home, service) })

  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const [plan, short, long, credits] = stdout.split('\n')
  expect(plan).toBe('plan     plus')
  expect(short).toMatch(/^5 h +█{5}░{15} +25 % used {2}resets .+, in 2 h (10|9) min$/)
  expect(long).toMatch(/^7 days +█{16}░{4} +80 % used {2}resets .+, in 2 days 2 h$/)
  expect(credits).toBe('credits  12.50')
})

test('asks as the account, with the token of the account and no other word of it', async () => {
  service.replies[USAGE] = [usage(1, 1)]
  const env = await signedIn(home, service)

  const { stdout, stderr } = await home.run(['usage', '--json'], { env })

  expect(service.requests).toHaveLength(1)
  expect(service.requests[0]?.headers).toMatchObject({
    authorization: 'Bearer canary-access-token',
    'chatgpt-account-id': 'account-1',
    originator: 'codexbox',
  })
  expect(JSON.parse(stdout)).toMatchObject({
    at: expect.any(Number),
    limits: { plan: 'plus', limits: [{ id: 'codex', primary: { usedPercent: 1 } }] },
  })
  expect(stdout + stderr).not.toContain('canary')
})

test('shows other limits by their names, and the one that is reached', async () => {
  service.replies[USAGE] = [
    usage(100, 100, {
      rate_limit: { limit_reached: true, primary_window: { used_percent: 130 } },
      additional_rate_limits: [
        {
          limit_name: 'gpt-6-astra',
          metered_feature: 'astra',
          rate_limit: { primary_window: { used_percent: 0, limit_window_seconds: 60 * HOUR } },
        },
      ],
      credits: null,
    }),
  ]

  const { stdout } = await home.run(['usage'], { env: await signedIn(home, service) })

  expect(stdout.split('\n')).toEqual([
    'plan         plus',
    'general limit · reached',
    `limit        ${'█'.repeat(20)} 130 % used`,
    'gpt-6-astra',
    `2 days 12 h  ${'░'.repeat(20)}   0 % used`,
    '',
  ])
})

test('falls back to what was said last, and says how long ago and why', async () => {
  const env = await signedIn(home, service)
  service.replies[USAGE] = [usage(25, 80), { status: 500, text: '<html>' }]
  await home.run(['usage'], { env })

  const { code, stdout, stderr } = await home.run(['usage'], { env })

  expect(code).toBe(0)
  expect(stdout).toContain('25 % used')
  expect(stderr).toMatch(/^These are the figures of \d+ s ago\. Asked .*: status 500 came back\.$/m)
})

test('never shows what was said of another account', async () => {
  const env = await signedIn(home, service)
  service.replies[USAGE] = [usage(25, 80), { status: 500, text: '<html>' }]
  await home.run(['usage'], { env })
  await fileTokenStore(home.dataDir).replace(someTokens({ account_id: 'account-2' }))

  const { code, stdout } = await home.run(['usage'], { env })

  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
})

test.each<[string, JsonReply]>([
  ['a page', { text: '<html>Just a moment…</html>' }],
  ['nothing of limits', { json: { plan_type: 'plus' } }],
  ['the wrong types', { json: { rate_limit: 'no', credits: 7, additional_rate_limits: {} } }],
  ['a prototype', { text: '{"__proto__":{"rate_limit":{"primary_window":{"used_percent":1}}}}' }],
  ['a flood', { text: `{"x":"${'x'.repeat(2 * 1024 * 1024)}"}` }],
  ['a closed connection', 'cut'],
])('after %s it says what came back, and keeps nothing', async (_what, reply) => {
  service.replies[USAGE] = [reply]

  const { code, stdout, stderr } = await home.run(['usage'], { env: await signedIn(home, service) })

  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toMatch(/^Asked /)
  expect(existsSync(join(home.dataDir, 'codex-limits.json'))).toBe(false)
})

test('cannot be made to move the cursor', async () => {
  const evil = '\x1b]0;owned\x07\x1b[2J\nplan'
  const credits = { has_credits: true, unlimited: false, balance: evil }
  const additional = [{ limit_name: evil, rate_limit: { primary_window: { used_percent: 1 } } }]
  service.replies[USAGE] = [
    usage(1, 1, { plan_type: evil, credits, additional_rate_limits: additional }),
  ]

  const { stdout } = await home.run(['usage'], { env: await signedIn(home, service) })

  expect(stdout.match(/(?!\n)\p{Cc}/gu)).toBeNull()
  expect(stdout.split('\n')).toHaveLength(7)
})

test('says that nobody is signed in, and that a key has no plan', async () => {
  const nobody = await home.run(['usage'], { env: { AGENT_PROVIDER: '' } })
  const demo = await home.run(['usage'])

  expect(nobody).toMatchObject({ code: 3, stderr: expect.stringContaining('Not signed in') })
  expect(demo).toMatchObject({ code: 2, stderr: expect.stringContaining('no plan') })
})
