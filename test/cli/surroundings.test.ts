import { spawn } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, expect, test } from 'vitest'
import { exitCodeOf } from '../../host/outer/cli/exit-code.ts'
import { RunEvent } from '../../shared/protocol.ts'
import { randomFrom, seed } from '../chaos/seeded.ts'
import { isFull } from '../full-size.ts'
import { scriptPackage } from '../script-package.ts'
import { NO_DOCKER } from './cli-process.ts'

const cli = await scriptPackage('host/cli.ts')
const setup = await scriptPackage('setup/index.ts')
const root = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-surroundings-')))
chmodSync(root, 0o755)
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** Root is refused nothing, so an ordinary user walks here. */
const USER = process.getuid?.() === 0 ? 1000 : undefined

/** What a command is started with; a fault changes a part of it. */
interface Scene {
  /** Has `work`, `data`, `home` and `tmp`. */
  folder: string
  env: NodeJS.Dict<string>
  /** Shell code that is run before the command. */
  before: string[]
  stdin: string
  stdout: string
  stderr: string
}

type Fault = (scene: Scene) => void

const inEnv =
  (env: NodeJS.Dict<string>): Fault =>
  (scene) =>
    Object.assign(scene.env, env)
const before =
  (code: string): Fault =>
  (scene) =>
    scene.before.push(code)
/** Puts something else in the place of a folder of the scene; nothing, where another fault has taken what it lies in. */
const instead =
  (name: string, make: (path: string) => void): Fault =>
  ({ folder }) => {
    const path = join(folder, name)
    if (!isFolder(dirname(path))) return
    rmSync(path, { recursive: true, force: true })
    make(path)
  }
const withMode = (name: string, mode: number): Fault =>
  instead(name, (path) => {
    mkdirSync(path)
    own(path)
    chmodSync(path, mode)
  })

const TOKENS = 'data/codex-tokens.json'
const signIn =
  (make: (path: string) => void): Fault =>
  (scene) => {
    scene.env.AGENT_PROVIDER = ''
    instead(TOKENS, make)(scene)
    own(join(scene.folder, TOKENS))
  }

const axes: Record<string, Record<string, Fault>> = {
  'data folder': {
    'is a file': instead('data', (path) => writeFileSync(path, '')),
    'is a dead link': instead('data', (path) => symlinkSync('nowhere', path)),
    'cannot be written': withMode('data', 0o555),
    'cannot be read': withMode('data', 0),
    'lies where nothing can be made': inEnv({ CODEX_DATA_DIR: '/proc/self/data' }),
  },
  'sessions folder': {
    'is a file': instead('data/sessions', (path) => writeFileSync(path, '')),
    'cannot be written': withMode('data/sessions', 0o555),
    'cannot be read': withMode('data/sessions', 0),
  },
  HOME: {
    'is not set': (scene) => delete scene.env.HOME,
    'is nothing': inEnv({ HOME: '' }),
    'is not there': inEnv({ HOME: '/nonexistent' }),
    'is no absolute path': inEnv({ HOME: 'home' }),
  },
  'current folder': {
    'is gone': before('mkdir gone && cd gone && rmdir ../gone'),
    'cannot be written': withMode('work', 0o555),
    'cannot be read': withMode('work', 0o300),
  },
  TMPDIR: {
    'is not there': inEnv({ TMPDIR: '/nonexistent' }),
    'cannot be written': withMode('tmp', 0o555),
    'is long': ({ folder, env }) => {
      env.TMPDIR = join(folder, 'tmp', 'long-'.repeat(30))
      mkdirSync(env.TMPDIR)
      own(env.TMPDIR)
    },
  },
  stdin: {
    'is closed': (scene) => {
      scene.stdin = '<&-'
    },
    'is a folder': (scene) => {
      scene.stdin = '</'
    },
  },
  stdout: {
    'is closed': (scene) => {
      scene.stdout = '>&-'
    },
    'is full': (scene) => {
      scene.stdout = '>/dev/full'
    },
  },
  stderr: {
    'is closed': (scene) => {
      scene.stderr = '2>&-'
    },
    'is full': (scene) => {
      scene.stderr = '2>/dev/full'
    },
  },
  umask: { 'takes all rights': before('umask 0777'), 'takes none': before('umask 0') },
  limits: {
    'of files': before('ulimit -n 40'),
    'of the size of files': before('ulimit -f 0'),
    'of the stack': before('ulimit -s 512'),
  },
  locale: {
    'is POSIX': inEnv({ LC_ALL: 'POSIX' }),
    'is not installed': inEnv({ LC_ALL: 'xx_XX.UTF-8' }),
    'is Turkish': inEnv({ LC_ALL: 'tr_TR.UTF-8', LANG: 'tr_TR.UTF-8' }),
  },
  engine: {
    'is not there': inEnv({ AGENT_ENGINE: 'docker', ...NO_DOCKER }),
    'is no engine': inEnv({ AGENT_ENGINE: 'docker', DOCKER_HOST: 'nonsense' }),
    'has an image with no name': inEnv({ AGENT_ENGINE: 'docker', AGENT_IMAGE: '!', ...NO_DOCKER }),
  },
  'sign-in': {
    'is damaged': signIn((path) => writeFileSync(path, '{"access_token":', { mode: 0o600 })),
    'is a folder': signIn((path) => mkdirSync(path)),
    'is a link': signIn((path) => symlinkSync('elsewhere', path)),
  },
  clock: {
    'is at its beginning': inEnv({ CLOCK: '0' }),
    'is far ahead': inEnv({ CLOCK: '7258118400000' }),
  },
}

const commands: Record<string, readonly string[]> = {
  'run --json': [cli, 'run', '--json', 'run: echo hello'],
  run: [cli, 'run', 'run: echo hello'],
  'run --session': [cli, 'run', '--json', '--session', 'again', 'run: echo hello'],
  chat: [cli],
  sessions: [cli, 'sessions'],
  models: [cli, 'models'],
  usage: [cli, 'usage'],
  status: [cli, 'status'],
  login: [cli, 'login', '--device'],
  doctor: [cli, 'doctor', '--offline'],
  setup: [setup, '--step', 'environment'],
}

/** Also where it fails: by a `finished` event, by the sign-in that is not there, or by a list of problems. */
const ANSWERED_ON_STDOUT = ['run --json', 'run --session', 'status', 'doctor']

type Case = [command: string, faults: readonly (readonly [axis: string, fault: string])[]]

const singles = Object.entries(axes).flatMap(([axis, faults]) =>
  Object.keys(faults).map((fault) => [axis, fault] as const),
)
const pairs = singles
  .flatMap((one, index) => singles.slice(index + 1).map((other) => [one, other] as const))
  .filter(([one, other]) => one[0] !== other[0] && !isEndOfNode(one, other))

/** Node looks for the folder of modules in HOME before it comes to the program, and fails there. */
function isEndOfNode(...faults: (readonly [axis: string, fault: string])[]): boolean {
  const names = faults.map((fault) => fault.join(' '))
  return names.includes('HOME is no absolute path') && names.includes('current folder is gone')
}
const all: Case[] = Object.keys(commands).flatMap((command) =>
  [[], ...singles.map((one) => [one]), ...pairs].map((faults): Case => [command, faults]),
)
const cases = isFull ? all : sample()

/** Each single fault of a run, and some of all the others. */
function sample(): Case[] {
  const random = randomFrom(seed)
  const runs = all.filter(([command, faults]) => command === 'run --json' && faults.length < 2)
  const others = Array.from({ length: 12 }, () => all[Math.floor(random() * all.length)] as Case)
  return [...runs, ...others]
}

test.concurrent.each(cases.map((one) => [nameOf(one), one] as const))(
  `%s: one sentence, the documented code, nothing left, nothing lost (seed ${seed})`,
  async (_, [command, faults]) => {
    const scene = aScene()
    for (const [axis, fault] of faults) axes[axis]?.[fault]?.(scene)
    const signInBefore = signInOf(scene)

    const { code, signal, stdout, stderr } = await start(command, scene)

    const said = `${stdout}\n${stderr}`
    expect(signal, said).toBeNull()
    expect([0, 1, 2, 3, 4, 5], said).toContain(code)
    expect(said).not.toMatch(/^ +at .*:\d+|node:internal|Node\.js v\d|UnhandledPromise|\[object /m)
    // What was to be read there, such as an error, cannot be looked for.
    const isHeard = scene.stderr === '' && command !== 'chat'
    const isLost = scene.stdout === '>&-' && ANSWERED_ON_STDOUT.includes(command)
    if (code !== 0 && isHeard && !isLost) expect(said.trim()).not.toBe('')
    if (isHeard) expect(twice(stderr)).toEqual([])
    if (scene.stdout === '' && command.startsWith('run')) checkAnswer(command, { code, stdout })
    const hasNoRoom = scene.stdout.includes('full') && command !== 'chat'
    if (hasNoRoom && command !== 'login') expect(code).not.toBe(0)
    expect(leftIn(scene)).toEqual([])
    expect(signInOf(scene)).toEqual(signInBefore)
    open(scene.folder)
    rmSync(scene.folder, { recursive: true, force: true })
  },
  60_000,
)

function checkAnswer(
  command: string,
  { code, stdout }: { code: number | null; stdout: string },
): void {
  if (command === 'run') {
    expect(stdout !== '').toBe(code === 0)
    return
  }
  const events = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => RunEvent.parse(JSON.parse(line)))
  const finished = events.filter((event) => event.type === 'finished')
  expect(finished).toHaveLength(1)
  expect(events.at(-1)).toBe(finished[0])
  if (finished[0]) expect(code).toBe(exitCodeOf(finished[0]))
}

/** Lines of some length that stand there more than once. */
function twice(said: string): string[] {
  const lines = said.split('\n').filter((line) => line.length > 40)
  return lines.filter((line, index) => lines.indexOf(line) !== index)
}

function leftIn({ folder, env }: Scene): string[] {
  open(folder)
  const inTmp = existsSync(join(folder, 'tmp')) ? readdirSync(join(folder, 'tmp')) : []
  const sessions = join(folder, 'data/sessions')
  const inSessions = isFolder(sessions) ? readdirSync(sessions) : []
  return [
    ...inTmp.filter((name) => join(folder, 'tmp', name) !== env.TMPDIR && name !== 'clock.cjs'),
    ...inSessions.filter((name) => !name.endsWith('.jsonl')),
    ...readdirSync(folder).filter((name) => !SCENE.includes(name)),
  ]
}

/** What is in the sign-in, or in the file that a damaged one was set aside to. */
function signInOf({ folder }: Scene): string | undefined {
  const data = join(folder, 'data')
  if (!isFolder(data)) return undefined
  open(data)
  const name = readdirSync(data).find((one) => one.startsWith('codex-tokens.json'))
  if (name === undefined || isFolder(join(data, name))) return name && 'folder'
  return existsSync(join(data, name)) ? readFileSync(join(data, name), 'utf8') : 'dead link'
}

const SCENE = ['work', 'data', 'home', 'tmp']

function aScene(): Scene {
  const folder = mkdtempSync(join(root, 'scene-'))
  own(folder)
  for (const name of SCENE) {
    mkdirSync(join(folder, name), { mode: 0o700 })
    own(join(folder, name))
  }
  const env = {
    PATH: process.env.PATH,
    HOME: join(folder, 'home'),
    TMPDIR: join(folder, 'tmp'),
    CODEX_DATA_DIR: join(folder, 'data'),
    CODEX_AUTH_ISSUER: 'http://127.0.0.1:9',
    AGENT_PROVIDER: 'demo',
    AGENT_ENGINE: 'process',
  }
  return { folder, env, before: [], stdin: '</dev/null', stdout: '', stderr: '' }
}

async function start(command: string, scene: Scene) {
  const { folder, env, stdin, stdout, stderr } = scene
  const clock = join(root, 'clock.cjs')
  writeFileSync(clock, CLOCK)
  const node = [process.execPath, ...(env.CLOCK ? ['--require', clock] : [])]
  const line = [...node, ...(commands[command] ?? [])].map((word) => `'${word}'`).join(' ')
  const to = `${stdin} ${stdout} ${stderr}`
  // A chat wants a terminal, which takes the place of all three.
  const inTerminal = `printf '/exit\\n' | exec script -qec "${line}" /dev/null`
  const shell = [...scene.before, command === 'chat' ? inTerminal : `exec ${line} ${to}`]
  const child = spawn('bash', ['-c', shell.join('\n')], {
    cwd: join(folder, 'work'),
    env,
    ...(USER ? { uid: USER, gid: USER } : {}),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const end = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { ...(await end), stdout: out, stderr: err }
}

const CLOCK = `
const started = performance.now()
const now = () => Number(process.env.CLOCK) + performance.now() - started
globalThis.Date = class extends Date {
  constructor(...given) { given.length ? super(...given) : super(now()) }
  static now() { return now() }
}
`

function own(path: string): void {
  if (USER && existsSync(path)) chownSync(path, USER, USER)
}

/** So that it can be looked at and removed, whatever its mode was. */
function open(folder: string): void {
  chmodSync(folder, 0o755)
  for (const name of readdirSync(folder)) {
    if (isFolder(join(folder, name))) open(join(folder, name))
  }
}

function isFolder(path: string): boolean {
  try {
    readdirSync(path)
    return true
  } catch {
    return false
  }
}

function nameOf([command, faults]: Case): string {
  const broken = faults.map(([axis, fault]) => `${axis} ${fault}`)
  return [command, ...broken].join(', ')
}
