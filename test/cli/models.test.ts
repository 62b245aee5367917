import { afterEach, beforeEach, expect, test } from 'vitest'
import { type JsonService, startJsonService } from '../fakes/json-service.ts'
import { wireModel } from '../models/wire-model.ts'
import { type Home, openHome } from './cli-process.ts'
import { MODELS, signedIn } from './signed-in.ts'

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

test('lists what the account can ask, the default first, and where that is known from', async () => {
  service.replies[MODELS] = [
    {
      json: {
        models: [
          wireModel('gpt-old', { priority: 9, upgrade: { model: 'gpt-new' }, context_window: 0 }),
          wireModel('gpt-new', { priority: 1 }),
          wireModel('gpt-secret', { priority: 0, visibility: 'hide' }),
        ],
      },
    },
  ]

  const { code, stdout, stderr } = await home.run(['models'], {
    env: await signedIn(home, service),
  })

  expect(code).toBe(0)
  expect(stdout.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
    ['model', 'efforts', 'window'],
    ['gpt-secret', 'low medium* high', '272k', 'hidden'],
    ['gpt-new', 'low medium* high', '272k', 'default'],
    ['gpt-old', 'low medium* high', '–', '→ gpt-new'],
    [''],
  ])
  expect(stderr).toContain('→ the model that takes its place.')
  expect(stderr).toContain('as the service has just said')
})

test('the demo has one model, without efforts to explain', async () => {
  const { stdout, stderr } = await home.run(['models'], { env: { AGENT_PROVIDER: 'demo' } })

  expect(stdout).toContain('demo-script')
  expect(stderr).toContain('The list is built into codexbox for demo.')
  expect(stderr).not.toContain('*')
})

test('falls back to the list it had, and says how old that is and why', async () => {
  const env = await signedIn(home, service)
  service.replies[MODELS] = [{ json: { models: [wireModel('kept')] } }, { status: 503, text: 'x' }]
  await home.run(['models'], { env })

  const { code, stdout, stderr } = await home.run(['models'], { env })

  expect(code).toBe(0)
  expect(stdout).toContain('kept')
  expect(stderr).toMatch(/as the service said \d+ s ago\. .*status 503/)
})

test('knows some models of itself, and says so', async () => {
  const { stdout, stderr } = await home.run(['models'], { env: await signedIn(home, service) })

  expect(stdout).toContain('gpt-6.2-sol')
  // A line of a terminal.
  expect(Math.max(...stdout.split('\n').map(({ length }) => length))).toBeLessThanOrEqual(80)
  expect(stderr).toMatch(/built into codexbox, from Codex CLI 0\.171\.0, \d.* old; .*status 404/s)
})

test('cannot be made to move the cursor', async () => {
  const display_name = '\x1b]0;owned\x07\x1b[2J\x9b\nnew line'
  service.replies[MODELS] = [{ json: { models: [wireModel('m', { display_name })] } }]

  const env = await signedIn(home, service)

  for (const [args, lines] of [
    [['models'], 2],
    [['models', '--json'], 1],
  ] as const) {
    const { stdout } = await home.run(args, { env })

    expect(stdout.match(/(?!\n)\p{Cc}/gu)).toBeNull()
    expect(stdout.split('\n')).toHaveLength(lines + 1)
  }
})

test('prints one JSON line with --json', async () => {
  service.replies[MODELS] = [
    { json: { models: [wireModel('two', { priority: 2 }), wireModel('one')] } },
  ]

  const { stdout, stderr } = await home.run(['models', '--json'], {
    env: await signedIn(home, service),
  })

  expect(JSON.parse(stdout)).toMatchObject({
    provider: 'codex',
    source: 'live',
    checkedAt: expect.any(Number),
    models: [{ slug: 'one', efforts: ['low', 'medium', 'high'] }, { slug: 'two' }],
  })
  expect(stderr).toBe('')
})

test('lists the one model of the demo', async () => {
  const { stdout } = await home.run(['models'])

  expect(stdout).toMatch(/^demo-script .*default$/m)
})

test('needs a sign-in for the list of an account', async () => {
  const { code, stderr } = await home.run(['models'], { env: { AGENT_PROVIDER: 'codex' } })

  expect(code).toBe(3)
  expect(stderr).toContain('Not signed in')
})
