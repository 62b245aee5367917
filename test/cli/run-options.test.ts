import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Item } from '../../shared/items.ts'
import { RunEvent } from '../../shared/protocol.ts'
import { type JsonReply, type JsonService, startJsonService } from '../fakes/json-service.ts'
import {
  callsAnswer,
  type Exchange,
  type ModelServer,
  startModelServer,
  textAnswer,
} from '../fakes/model-server.ts'
import { wireModel } from '../models/wire-model.ts'
import { asking, type Home, openHome, said } from './cli-process.ts'
import { asReply, MODELS, RESPONSES, signedIn, USAGE } from './signed-in.ts'

/** One pixel. */
const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)

let home: Home
let server: ModelServer | undefined
let service: JsonService | undefined

beforeEach(() => {
  home = openHome()
})

afterEach(async () => {
  await server?.close()
  await service?.close()
  server = undefined
  service = undefined
  home.clear()
})

/** The environment for runs that ask a model server with this script. */
async function askingServer(...script: Exchange[]): Promise<NodeJS.ProcessEnv> {
  server = await startModelServer(script)
  return asking(server)
}

/** The prompts, and other messages of the user, in a request. */
const userMessages = (index: number): Item[] =>
  server?.requests[index]?.body.input.filter(({ role }) => role === 'user') ?? []

const file = (name: string, content: string | Buffer): string => {
  writeFileSync(join(home.workspace, name), content)
  return name
}

describe('--image', () => {
  test('shows the model images, in order, with the prompt', async () => {
    const env = await askingServer(textAnswer('A pixel.'))
    const gif = Buffer.from('GIF89a...........')

    const { code } = await home.run(
      ['run', '--image', file('a', PNG), '--image', file('b.png', gif), 'What is it?'],
      { env },
    )

    expect(code).toBe(0)
    const sent = JSON.stringify(userMessages(0))
    const [first, second] = [
      `data:image/png;base64,${PNG.toString('base64')}`,
      `data:image/gif;base64,${gif.toString('base64')}`,
    ]
    expect(sent.indexOf(first ?? '')).toBeGreaterThan(0)
    expect(sent.indexOf(second ?? '')).toBeGreaterThan(sent.indexOf(first ?? ''))
    expect(sent).toContain('What is it?')
  })

  test.each([
    ['is none', 'no.png', 'no image that a model takes'],
    ['is a drawing in text', 'drawing.svg', 'no image that a model takes'],
    ['is empty', 'empty', 'no image that a model takes'],
    ['is too large', 'large.png', 'larger than 10 MB'],
    ['is missing', 'missing.png', 'ENOENT'],
    ['is a folder', 'folder', 'not a regular file'],
  ])('refuses what %s', async (_what, name, why) => {
    file('no.png', 'text')
    file('drawing.svg', '<svg xmlns="http://www.w3.org/2000/svg"/>')
    file('empty', '')
    file('large.png', Buffer.concat([PNG, Buffer.alloc(10 * 1024 * 1024)]))
    mkdirSync(join(home.workspace, 'folder'))

    const { code, stderr } = await home.run(['run', '--image', name, 'Look.'])

    expect(code).toBe(2)
    expect(stderr).toContain(name)
    expect(stderr).toContain(why)
    expect(existsSync(home.dataDir)).toBe(false)
  })
})

describe('--output-schema', () => {
  const schema = {
    type: 'object',
    properties: { answer: { type: 'number' } },
    required: ['answer'],
    additionalProperties: false,
  }

  test('asks for an answer in that form', async () => {
    const env = await askingServer(textAnswer('{"answer":42}'))

    const { code, stdout } = await home.run(
      ['run', '--output-schema', file('schema.json', JSON.stringify(schema)), 'Six by nine?'],
      { env },
    )

    expect({ code, stdout }).toEqual({ code: 0, stdout: '{"answer":42}\n' })
    expect(server?.requests[0]?.body.text).toMatchObject({
      format: { type: 'json_schema', schema },
    })
  })

  test.each(['', '{', '[]', 'null', '"object"', '7'])('refuses %j', async (content) => {
    const { code, stderr } = await home.run([
      'run',
      '--output-schema',
      file('schema.json', content),
      'Go.',
    ])

    expect(code).toBe(2)
    expect(stderr).toContain('schema.json')
  })
})

test('--web-search lets the service search, and without it nothing does', async () => {
  const env = await askingServer(textAnswer(), textAnswer())

  await home.run(['run', '--web-search', 'Look it up.'], { env })
  await home.run(['run', 'Look it up.'], { env })

  const tools = (index: number) => JSON.stringify(server?.requests[index]?.body.tools)
  expect(tools(0)).toContain('web_search')
  expect(tools(1)).not.toContain('web_search')
})

test('asks for no more effort than the model has, and says so', async () => {
  const env = await askingServer(textAnswer())

  const { stderr } = await home.run(['run', '--model', 'gpt-5.5', '--effort', 'ultra', 'Go.'], {
    env,
  })

  expect(server?.requests[0]?.body).toMatchObject({
    model: 'gpt-5.5',
    reasoning: { effort: 'xhigh' },
  })
  expect(stderr).toContain('"xhigh" is used')
})

test('a model of the subscription is asked in the form that the service lists for it', async () => {
  service = await startJsonService({
    [MODELS]: [{ json: { models: [wireModel('gpt-9', { use_responses_lite: true })] } }],
    [RESPONSES]: [asReply(textAnswer('Hello.'))],
  })
  const env = await signedIn(home, service)

  const { code, stdout } = await home.run(['run', 'Say hello.'], { env })

  expect({ code, stdout }).toEqual({ code: 0, stdout: 'Hello.\n' })
  const asked = service.requests.find(({ path }) => path === RESPONSES)
  expect(JSON.parse(asked?.body ?? '')).toMatchObject({
    model: 'gpt-9',
    input: expect.arrayContaining([expect.objectContaining({ type: 'additional_tools' })]),
    reasoning: { effort: 'medium' },
    text: { verbosity: 'low' },
  })
  expect(asked?.headers).toMatchObject({ 'x-openai-internal-codex-responses-lite': 'true' })
})

describe('--continue', () => {
  test('goes on where the session ends, without a prompt', async () => {
    const refused: Exchange = { status: 400, body: { error: { message: 'Not now.' } } }
    const env = await askingServer(refused, textAnswer('Here I am again.'))
    await home.run(['run', '--session', 's', 'Count.'], { env })

    const { code, stdout } = await home.run(['run', '--continue', '--session', 's'], { env })

    expect({ code, stdout }).toEqual({ code: 0, stdout: 'Here I am again.\n' })
    expect(userMessages(1)).toEqual(userMessages(0))
  })

  test.each([
    [['--continue'], 'which session'],
    [['--continue', '--session', 's', 'A prompt.'], 'takes no prompt'],
    [['--continue', '--session', 'new'], 'There is no session new'],
  ])('codexbox run %j is refused', async (args, why) => {
    const { code, stderr } = await home.run(['run', ...args])

    expect(code).toBe(2)
    expect(stderr).toContain(why)
  })
})

describe('--wait-for-limit', () => {
  const limit = (resetsAt: number | undefined): Exchange => ({
    status: 429,
    body: {
      error: {
        type: 'usage_limit_reached',
        message: 'Spent.',
        plan_type: 'plus',
        ...(resetsAt ? { resets_at: Math.ceil(resetsAt / 1000) } : {}),
      },
    },
  })
  const args = ['run', '--wait-for-limit', '--session', 'parked']

  test('parks the run in the middle of its work, and goes on when the limit is lifted', async () => {
    const env = await askingServer(
      callsAnswer(['bash', { command: 'echo once >> done.txt' }]),
      limit(Date.now()),
      textAnswer('Finished.'),
    )

    const { code, stdout, stderr } = await home.run([...args, 'Do it.'], { env })

    expect({ code, stdout }).toEqual({ code: 0, stdout: 'Finished.\n' })
    expect(stderr).toContain('waiting to go on')
    expect(readFileSync(join(home.workspace, 'done.txt'), 'utf8')).toBe('once\n')
    expect(userMessages(2)).toEqual(userMessages(0))
    expect(JSON.stringify(server?.requests[2]?.body.input)).toContain('function_call_output')
  })

  test('and again, if the limit is still there', async () => {
    const env = await askingServer(limit(Date.now()), limit(Date.now()), textAnswer('At last.'))

    const { code, stdout } = await home.run([...args, 'Do it.'], { env })

    expect({ code, stdout }).toEqual({ code: 0, stdout: 'At last.\n' })
  })

  test('prints the events of both runs with --json, and nothing else', async () => {
    const env = await askingServer(limit(Date.now()), textAnswer('Finished.'))

    const { stdout, stderr } = await home.run([...args, '--json', 'Do it.'], { env })

    const lines = stdout.trimEnd().split('\n')
    const ends = lines
      .map((line) => RunEvent.parse(JSON.parse(line)))
      .filter((event) => event.type === 'finished')
    expect(ends).toMatchObject([
      { status: 'failed', error: { code: 'usage-limit', resetsAt: expect.any(Number) } },
      { status: 'done' },
    ])
    expect(stderr).toBe('')
  })

  test.each<[NodeJS.Signals, number]>([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])('%s ends the waiting at once, and the session is kept', async (signal, exitCode) => {
    const env = await askingServer(limit(Date.now() + 3_600_000), textAnswer('Finished.'))
    const running = home.start([...args, 'Do it.'], { env })
    await said(running, 'ends the waiting')

    running.child.kill(signal)

    const { code, stderr } = await running.result

    expect(code).toBe(exitCode)
    expect(stderr).toContain('codexbox run --continue --session parked')
    const later = await home.run(['run', '--continue', '--session', 'parked'], { env })
    expect(later).toMatchObject({ code: 0, stdout: 'Finished.\n' })
  })

  test('does not wait for what has no end', async () => {
    const env = await askingServer(limit(undefined))

    expect((await home.run([...args, 'Do it.'], { env })).code).toBe(4)
  })

  test('is not without being asked for', async () => {
    const env = await askingServer(limit(Date.now() + 3_600_000))

    expect((await home.run(['run', 'Do it.'], { env })).code).toBe(4)
  })
})

describe('--min-remaining', () => {
  const RESETS_AT = Math.floor(Date.now() / 1000) + 7200

  const used = (primary: number, secondary: number): JsonReply => ({
    json: {
      plan_type: 'plus',
      rate_limit: {
        primary_window: {
          used_percent: primary,
          limit_window_seconds: 18_000,
          reset_at: RESETS_AT,
        },
        secondary_window: { used_percent: secondary, limit_window_seconds: 604_800 },
      },
      additional_rate_limits: [
        { limit_name: 'other', rate_limit: { primary_window: { used_percent: 100 } } },
      ],
    },
  })

  const ask = async (percent: string, ...replies: JsonReply[]) => {
    service ??= await startJsonService(replies.length > 0 ? { [USAGE]: replies } : {})
    const env = await signedIn(home, service)
    const args = ['run', '--json', '--min-remaining', percent, 'Go.']
    const { code, stdout, stderr } = await home.run(args, { env })
    return {
      code,
      stderr,
      end: RunEvent.parse(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')),
    }
  }

  test.each([
    ['10%', 91, 0],
    ['10', 91, 0],
    ['30 %', 0, 71],
    ['100', 1, 0],
  ])('refuses to begin with %s when %i %% and %i %% are used', async (percent, first, second) => {
    const { code, end } = await ask(percent, used(first, second))

    expect(code).toBe(4)
    expect(end).toMatchObject({
      type: 'finished',
      status: 'failed',
      turns: 0,
      error: { code: 'usage-limit', message: expect.stringContaining('Not started') },
    })
    if (first > 0) expect(end).toMatchObject({ error: { resetsAt: RESETS_AT * 1000 } })
    expect(service?.requests.map(({ path }) => path)).toEqual([USAGE])
    expect(existsSync(join(home.dataDir, 'sessions'))).toBe(false)
  })

  test('begins when enough is left, whatever other limits say', async () => {
    const { end, stderr } = await ask('10%', used(90, 90))

    expect(end).toMatchObject({ error: { code: expect.not.stringMatching('usage-limit') } })
    expect(stderr).toBe('')
  })

  test('begins when nothing is known, and says so', async () => {
    const { end, stderr } = await ask('10%')

    expect(end).toMatchObject({ error: { code: expect.not.stringMatching('usage-limit') } })
    expect(stderr).toContain('How much of the plan is left is unknown')
  })

  test('refuses by what was said last when nothing can be asked', async () => {
    await ask('10%', used(99, 0), { status: 500, text: '' })

    const { code } = await ask('10%')

    expect(code).toBe(4)
    expect(service?.requests.map(({ path }) => path)).toEqual([USAGE, USAGE])
  })

  test.each(['', 'ten', '-1', '101', '1e1', '10%%'])('"%s" is no percentage', async (percent) => {
    const { code, stderr } = await home.run(['run', `--min-remaining=${percent}`, 'Go.'])

    expect(code).toBe(2)
    expect(stderr).toContain('--min-remaining')
  })

  test('has nothing to say for a provider without a plan', async () => {
    const { code, stderr } = await home.run(['run', '--min-remaining', '10', 'run: true'])

    expect(code).toBe(0)
    expect(stderr).toContain('demo has no plan')
  })
})
