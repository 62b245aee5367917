import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { COMMANDS } from '../../host/outer/cli/way-out.ts'
import { RunEvent } from '../../shared/protocol.ts'
import { isAlive } from '../container/worker-process.ts'
import {
  callsAnswer,
  type Exchange,
  type ModelServer,
  startModelServer,
  textAnswer,
} from '../fakes/model-server.ts'
import { asking, type Home, NO_DOCKER, openHome } from './cli-process.ts'

const KEY = 'sk-canary-40aa7e'
const ESC = '\x1b'
const NO_SANDBOX = 'There is no sandbox: what the model runs, runs as you.'

let home: Home
let server: ModelServer | undefined

beforeEach(() => {
  home = openHome()
})

afterEach(async () => {
  await server?.close()
  server = undefined
  home.clear()
})

/** The environment for a run that asks a model server with this script. */
async function askingServer(...script: Exchange[]): Promise<NodeJS.ProcessEnv> {
  server = await startModelServer(script)
  return asking(server, KEY)
}

/** The lines of `--json`: each an event, the last and only the last of them `finished`. */
function eventsOf(stdout: string): RunEvent[] {
  const events = stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => RunEvent.parse(JSON.parse(line)))
  expect(events.filter(({ type }) => type === 'finished')).toEqual([events.at(-1)])
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1))
  return events
}

describe('one run', () => {
  test('warns of a model without a sandbox, and not of the demo', async () => {
    const env = await askingServer(textAnswer(), textAnswer())

    const model = await home.run(['run', 'Go on.'], { env })
    const asEvents = await home.run(['run', '--json', 'Go on.'], { env })
    const demo = await home.run(['run', 'run: true'])

    expect(model.stderr.split(NO_SANDBOX)).toHaveLength(2)
    expect(eventsOf(asEvents.stdout)[0]).toMatchObject({ type: 'notice', message: NO_SANDBOX })
    expect(asEvents.stdout.split(NO_SANDBOX)).toHaveLength(2)
    expect(demo.stderr).not.toContain(NO_SANDBOX)
  })

  test('puts the answer alone on stdout, and what is done for it on stderr, without escapes', async () => {
    const env = await askingServer(
      callsAnswer(['bash', { command: 'echo made > made.txt' }]),
      textAnswer('It is made.'),
    )

    const { code, stdout, stderr } = await home.run(['run', 'Make it.'], { env })

    expect({ code, stdout }).toEqual({ code: 0, stdout: 'It is made.\n' })
    expect(stderr).toContain('✓ bash echo made > made.txt  exit code: 0')
    expect(stderr).toContain(`workspace ${home.workspace}`)
    expect(stderr).toContain('done · 2 turns · 1 tool call')
    expect(stderr).not.toContain(ESC)
    expect(stderr).not.toContain(KEY)
  })

  test.each([['run', '-'], ['run'], []])(
    'takes its prompt from stdin (codexbox %s %s)',
    async (...args) => {
      const { code, stdout } = await home.run(args, { input: 'run: echo from-stdin > here\n' })

      expect(code).toBe(0)
      expect(stdout).toContain('This was a scripted demo: no model was asked.')
    },
  )

  test('prints events with --json, and nothing else', async () => {
    const { code, stdout, stderr } = await home.run(['run', '--json', 'run: echo hello'])

    const events = eventsOf(stdout)
    expect(code).toBe(0)
    expect(events[0]?.type).toBe('started')
    expect(events.at(-1)).toMatchObject({ status: 'done', toolCalls: 1 })
    expect(stderr).toBe('')
  })

  test('works, as the demo, without Docker and without a sign-in, and says what is missing', async () => {
    const env = { ...NO_DOCKER, AGENT_ENGINE: '', AGENT_PROVIDER: '' }

    const { code, stdout, stderr } = await home.run(['run: echo hello'], { env })

    expect(code).toBe(0)
    expect(stdout).toContain('This was a scripted demo')
    expect(stderr).toContain('This is the scripted demo, no model. Not signed in to ChatGPT.')
    expect(stderr).toContain('--step codex-auth')
    expect(stderr).toContain('/nonexistent/docker.sock')
    expect(stderr).toContain('without a container')
  })

  test('says what is missing as notices with --json', async () => {
    const env = { ...NO_DOCKER, AGENT_ENGINE: '', AGENT_PROVIDER: '' }

    const { stdout, stderr } = await home.run(['--json', 'run: echo hello'], { env })

    const [demo, docker, started] = eventsOf(stdout)
    expect(demo).toMatchObject({
      type: 'notice',
      message: expect.stringContaining('This is the scripted demo, no model.'),
    })
    expect(docker).toMatchObject({
      type: 'notice',
      message: expect.stringContaining('Until then the demo runs without a container.'),
    })
    expect(started?.type).toBe('started')
    expect(stderr).toBe('')
  })

  test.skipIf(process.platform !== 'linux')(
    'has ended what goes on in the background when it says its end, and names none of it',
    async () => {
      const command = 'echo $$ > pid; sleep 60'
      const env = await askingServer(
        callsAnswer(['bash', { command, yield_time_ms: 1000 }]),
        textAnswer(),
      )

      const running = home.start(['run', '--json', 'Begin something.'], { env })
      let stdout = ''
      let wasAlive: boolean | undefined
      running.child.stdout?.on('data', (text) => {
        stdout += text
        if (stdout.includes('"finished"')) {
          wasAlive ??= isAlive(Number(readFileSync(join(home.workspace, 'pid'), 'utf8')))
        }
      })

      expect((await running.result).code).toBe(0)
      expect(stdout).toContain('running with session id')
      expect(eventsOf(stdout).filter(({ type }) => type === 'notice')).toMatchObject([
        { message: NO_SANDBOX },
      ])
      expect(wasAlive).toBe(false)
    },
  )

  test('cannot move the cursor of the terminal, whoever says it', async () => {
    const evil = `${ESC}]0;owned\x07${ESC}[2J\x9b1m\b`
    const env = await askingServer(
      { status: 500, body: { error: { message: `Try later${evil}` } } },
      callsAnswer([`bash${evil}`, `{"command":"${evil}"`], ['bash', { command: `echo '${evil}'` }]),
      textAnswer(`Before${evil}after.\n`),
      { status: 400, body: { error: { message: `Not this${evil}` } } },
    )

    const { stdout, stderr } = await home.run(['run', '--session', 'evil', 'Go.'], { env })
    const failed = await home.run(['run', '--session', 'evil', 'Go.'], { env })
    const shown = await home.run(['sessions', 'show', 'evil'])

    // A file or a program gets the answer as it is.
    expect(stdout).toBe(`Before${evil}after.\n`)
    expect(stderr).toContain('Try later')
    expect(failed.stderr).toContain('Not this')
    const all = [stderr, failed.stdout, failed.stderr, shown.stdout].join('')
    expect(all.match(/(?!\n)\p{Cc}/gu)).toBeNull()
  })
})

describe('the exit code', () => {
  const usageLimit: Exchange = {
    status: 429,
    body: { error: { type: 'usage_limit_reached', message: 'Spent.', resets_in_seconds: 60 } },
  }
  const refused: Exchange = { status: 400, body: { error: { message: 'Not like this.' } } }

  /** What goes wrong, the arguments for it, the environment, and then the code and the error's name. */
  const failures: [string, string[], NodeJS.ProcessEnv | Exchange, number, string][] = [
    ['the service refuses', ['Go on.'], refused, 1, 'model-refused'],
    ['the usage limit is reached', ['Go on.'], usageLimit, 4, 'usage-limit'],
    ['the prompt is empty', [' '], {}, 2, 'wrong-use'],
    ['the timeout is none', ['--timeout', '512 MB', 'Go on.'], {}, 2, 'wrong-use'],
    ['there is no such provider', ['Go on.'], { AGENT_PROVIDER: 'x' }, 2, 'config-invalid'],
    ['a setting is wrong', ['Go on.'], { AGENT_NETWORK: 'allow:x' }, 2, 'config-invalid'],
    ['the session has no name', ['--session', '../x', 'Go on.'], {}, 2, 'session-invalid'],
    ['the workspace is missing', ['--workspace', 'none', 'Go on.'], {}, 2, 'workspace-invalid'],
    ['nobody is signed in', ['Go on.'], { AGENT_PROVIDER: 'codex' }, 3, 'not-signed-in'],
    ['there is no key', ['Go on.'], { AGENT_PROVIDER: 'openai' }, 3, 'not-signed-in'],
    [
      'there is no engine',
      ['Go on.'],
      { ...NO_DOCKER, AGENT_ENGINE: 'docker' },
      5,
      'engine-unavailable',
    ],
  ]

  test.each(failures)(
    'tells when %s, with and without --json',
    async (_what, args, about, exitCode, name) => {
      const isExchange = 'status' in about
      const env = isExchange ? await askingServer(about, about) : (about as NodeJS.ProcessEnv)

      const [plain, json] = await Promise.all([
        home.run(['run', ...args], { env }),
        home.run(['run', '--json', ...args], { env }),
      ])

      const end = eventsOf(json.stdout).at(-1)
      expect(end).toMatchObject({ status: 'failed', error: { code: name } })
      expect([plain.code, json.code]).toEqual([exitCode, exitCode])
      // The same sentence for a person, and no stack.
      const message = end?.type === 'finished' ? (end.error?.message ?? '?') : '?'
      expect(plain.stderr).toContain(message.slice(0, 40))
      expect(plain.stderr + json.stderr).not.toMatch(/\n\s+at /)
      expect(plain.stdout).toBe('')
    },
  )

  test.each([
    [
      'an unknown option',
      ['run', '--nope', 'x'],
      /^Unknown option '--nope'; --help says what there is\.\n$/,
    ],
    [
      'a mistyped option',
      ['run', '--jsno', 'x'],
      /^Unknown option '--jsno' \(did you mean --json\?\); --help says what there is\.\n$/,
    ],
    ['a mistyped command', ['sesions'], /no command "sesions".*codexbox run sesions/],
    [
      'a prompt without quotes',
      ['run', 'a', 'b'],
      /^Too many arguments for 'run', expected 1 .* got 2; a prompt of several words needs quotes\.\n$/,
    ],
    [
      'an argument that a command does not take',
      ['models', 'all'],
      /^Too many arguments for 'models', expected 0 .* got 1; --help says what there is\.\n$/,
    ],
    [
      'sessions remove without a name',
      ['sessions', 'remove'],
      /^Missing required argument 'names'; --help says what there is\.\n$/,
    ],
    ['help for a command there is not', ['help', 'nope'], /\nThere is no such command; .*\.\n$/],
    ['a session there is not', ['sessions', 'show', 'none'], /There is no session none/],
  ])('is 2 for %s', async (_what, args, said) => {
    const { code, stdout, stderr } = await home.run(args)

    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(said)
  })

  test('is 0 for help and version', async () => {
    const [help, version] = await Promise.all([home.run(['--help']), home.run(['--version'])])

    expect([help.code, version.code]).toEqual([0, 0])
    expect(help.stdout).toContain('Usage: codexbox')
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  test('is 1 when the time is up', async () => {
    const env = await askingServer(callsAnswer(['bash', { command: 'sleep 60' }]))

    const { code, stderr } = await home.run(['run', '--timeout', '0.3', 'Go.'], { env })

    expect(code).toBe(1)
    expect(stderr).toContain('stopped after its 0.3 s')
  })
})

test('settings of the .env in the current folder hold, those of the environment before them', async () => {
  const env = await askingServer(textAnswer(), textAnswer())
  writeFileSync(join(home.workspace, '.env'), 'AGENT_MODEL=from-file\n')

  await home.run(['run', 'Go.'], { env })
  await home.run(['run', '--model', 'from-argument', 'Go.'], { env })

  expect(server?.requests.map(({ body }) => body.model)).toEqual(['from-file', 'from-argument'])
})

test('a wrong option is told to a reader of JSON lines as the one finished event of a run', async () => {
  const { code, stdout, stderr } = await home.run(['run', '--json', '--nope', 'Hello'])
  const ofAnother = await home.run(['status', '--json', '--nope'])

  expect({ code, stderr }).toEqual({ code: 2, stderr: '' })
  expect(
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toMatchObject([
    {
      type: 'finished',
      status: 'failed',
      error: { code: 'wrong-use', message: expect.stringContaining("option '--nope'") },
    },
  ])
  expect(ofAnother).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringMatching(/^Unknown option '--nope'.*\n$/),
  })
})

test('the commands by which that is told apart are those of the program', async () => {
  const { stdout } = await home.run(['--help'])
  const [, listed = ''] = stdout.split('Commands:\n')

  expect([...listed.matchAll(/^ {2}([a-z]+)/gm)].map(([, name]) => name).sort()).toEqual(
    [...COMMANDS].sort(),
  )
})
