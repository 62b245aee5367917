import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import { type DiagnoseOptions, type Diagnosis, diagnose } from '../../host/outer/doctor/diagnose.ts'
import { thisProcess } from '../../host/storage/process-identity.ts'
import { type Home, openHome } from '../cli/cli-process.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'

let home: Home
let root: string
let dataDir: string
let env: NodeJS.ProcessEnv

beforeEach(() => {
  home = openHome()
  dataDir = home.dataDir
  root = dirname(dataDir)
  // No engine, unless a test says so: most of it needs none.
  env = { CODEX_DATA_DIR: dataDir, CODEX_HOME: root, DOCKER_HOST: `unix://${root}/none.sock` }
})

afterEach(() => home.clear())

const { DOCKER_HOST, DOCKER_CONTEXT, DOCKER_CONFIG, XDG_RUNTIME_DIR } = process.env
const whereTheEngineIs = { DOCKER_HOST, DOCKER_CONTEXT, DOCKER_CONFIG, XDG_RUNTIME_DIR }

const canHaveOwnMounts =
  process.platform === 'linux' && spawnSync('unshare', ['--mount', 'true']).status === 0

const look = (more: NodeJS.ProcessEnv = {}, options: DiagnoseOptions = {}) =>
  diagnose({ env: { ...env, ...more }, cwd: root, offline: true, ...options })

const of = (diagnosis: Diagnosis, check: string) => diagnosis.find((one) => one.check === check)

test('it looks at everything, and says of each in words what it came to', async () => {
  const diagnosis = await look()

  expect(diagnosis.map(({ check }) => check)).toEqual([
    'node',
    'settings',
    'sign-in',
    'data folder',
    'locks',
    'engine',
    'image',
    'sandbox',
    'leftovers',
    'proxy',
    'clock',
  ])
  for (const { message } of diagnosis) expect(message).toMatch(/\.$/)
})

test('an engine that is not there is one problem, not four', async () => {
  const diagnosis = await look()

  const problems = diagnosis.filter(({ level }) => level === 'problem')
  expect(problems.map(({ check }) => check)).toEqual(['engine'])
  expect(of(diagnosis, 'engine')?.message).toMatch(/cannot be used.*DOCKER_HOST/s)
})

test.each([
  ['without SELinux', ['name=seccomp,profile=default'], 'ok', undefined],
  ['with SELinux', ['name=seccomp,profile=default', 'name=selinux'], 'warning', /chcon/],
  ['without seccomp', [], 'warning', /settings/],
] as const)('an engine %s is told as that', async (_, SecurityOptions, level, advice) => {
  const answers: Record<string, unknown> = {
    '/version': { Version: '1', Os: 'linux', Arch: 'amd64' },
    '/info': { SecurityOptions, CgroupVersion: '2', Rootless: false },
  }
  const server = http.createServer(({ url = '' }, response) => {
    const answer = answers[url] ?? { Id: 'a', Config: {} }
    response.setHeader('content-type', 'application/json')
    response.end(url === '/_ping' ? 'OK' : JSON.stringify(answer))
  })
  await new Promise<void>((resolve) => server.listen(join(root, 'engine.sock'), resolve))
  try {
    const diagnosis = await look({ DOCKER_HOST: `unix://${root}/engine.sock` })

    expect(of(diagnosis, 'engine')).toMatchObject({
      level,
      ...(advice ? { advice: expect.stringMatching(advice) } : {}),
    })
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('an engine that never answers is not waited for', async () => {
  const silent = createServer(() => {}).listen(join(root, 'silent.sock'))
  try {
    const startedAt = performance.now()
    const diagnosis = await look({ DOCKER_HOST: `unix://${root}/silent.sock` }, { deadlineMs: 300 })

    expect(of(diagnosis, 'engine')).toMatchObject({
      level: 'warning',
      message: expect.stringContaining('Took longer than 0.3 s'),
    })
    expect(performance.now() - startedAt).toBeLessThan(5000)
  } finally {
    silent.close()
  }
})

test('settings are told by name and origin, never by value', async () => {
  writeFileSync(join(root, '.env'), 'AGENT_MODEL=secret-model\nAGENT_EFFORT=low\nPATH=/x\n')

  const diagnosis = await look({ AGENT_EFFORT: 'high', OPENAI_API_KEY: 'sk-secret' })

  expect(of(diagnosis, 'settings')?.message).toBe(
    'Set: AGENT_EFFORT, CODEX_DATA_DIR, CODEX_HOME, OPENAI_API_KEY from the environment; ' +
      `AGENT_MODEL from ${root}/.env.`,
  )
  expect(JSON.stringify(diagnosis)).not.toMatch(/secret-model|sk-secret/)
})

test('a setting that is not followed, since an agent could have made it, is a warning', async () => {
  writeFileSync(join(root, '.env'), 'AGENT_ENGINE=process\n')

  const diagnosis = await look()

  expect(of(diagnosis, 'settings')).toMatchObject({
    level: 'warning',
    message: expect.stringContaining('AGENT_ENGINE'),
  })
  expect(of(diagnosis, 'engine')?.message).not.toContain('AGENT_ENGINE=process')
})

test('a setting that cannot be used is a problem, and the rest is looked at all the same', async () => {
  const diagnosis = await look({ AGENT_CREDENTIALS: 'open' })

  expect(of(diagnosis, 'settings')).toMatchObject({
    level: 'problem',
    message: expect.stringContaining('AGENT_CREDENTIALS'),
  })
  expect(of(diagnosis, 'data folder')?.message).toContain(dataDir)
})

describe('the sign-in', () => {
  test('is a warning when there is none, and a problem where it was asked for', async () => {
    expect(of(await look(), 'sign-in')).toMatchObject({
      level: 'warning',
      message: expect.stringContaining('scripted demo'),
    })
    expect(of(await look({ AGENT_PROVIDER: 'codex' }), 'sign-in')).toMatchObject({
      level: 'problem',
    })
  })

  test('is told with the account masked, and that Codex has its own', async () => {
    await fileTokenStore(dataDir).replace(someTokens({ email: 'ada@example.com', plan: 'plus' }))
    writeFileSync(join(root, 'auth.json'), '{}')

    const found = of(await look(), 'sign-in')

    expect(found).toMatchObject({ level: 'ok' })
    expect(found?.message).toBe(
      `Signed in to ChatGPT as a…@example.com, plan plus. Codex has a sign-in of its own (${root}/auth.json).`,
    )
  })

  test('that Codex shares is a warning', async () => {
    const imported_from = join(root, 'auth.json')
    await fileTokenStore(dataDir).replace(someTokens({ imported_from }))

    expect(of(await look(), 'sign-in')).toMatchObject({
      level: 'warning',
      advice: expect.stringContaining('codexbox login'),
    })
  })
})

test.skipIf(process.platform === 'win32')(
  'a data folder that others may look into is told of, with what to do',
  async () => {
    mkdirSync(dataDir, { mode: 0o700 })
    expect(of(await look(), 'data folder')).toMatchObject({ level: 'ok' })
    chmodSync(dataDir, 0o755)

    expect(of(await look(), 'data folder')).toEqual({
      check: 'data folder',
      level: 'warning',
      message: `${dataDir} is open to other users (mode 755).`,
      advice: `chmod 700 ${dataDir}`,
    })
  },
)

test('who works with the data folder is told: here, and elsewhere', async () => {
  mkdirSync(join(dataDir, 'sessions'), { recursive: true, mode: 0o700 })
  const lock = join(dataDir, 'sessions', 'mine.jsonl.lock')
  writeFileSync(lock, JSON.stringify(thisProcess()))
  expect(of(await look(), 'locks')).toMatchObject({
    level: 'ok',
    message: `In use: session mine (process ${process.pid}).`,
  })

  writeFileSync(lock, JSON.stringify({ ...thisProcess(), host: 'another' }))
  expect(of(await look(), 'locks')).toMatchObject({ level: 'warning' })
})

test('a proxy is told by the name of its variable, never by its address', async () => {
  const diagnosis = await look({ HTTPS_PROXY: 'http://ada:hunter2@proxy.example:3128' })

  expect(of(diagnosis, 'proxy')).toMatchObject({
    level: 'ok',
    message: 'HTTPS_PROXY for chatgpt.com, HTTPS_PROXY for auth.openai.com.',
  })
  expect(JSON.stringify(diagnosis)).not.toMatch(/hunter2|proxy\.example/)
})

test('certificates that are not checked are a problem', async () => {
  expect(of(await look({ NODE_TLS_REJECT_UNAUTHORIZED: '0' }), 'proxy')).toMatchObject({
    level: 'problem',
  })
})

describe('the clock', () => {
  const withService = async (date: string, check: (url: string) => Promise<void>) => {
    const seen: http.IncomingHttpHeaders[] = []
    const server = http.createServer((request, response) => {
      seen.push(request.headers)
      response.writeHead(404, { date }).end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      await check(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
      expect(seen.every(({ authorization }) => authorization === undefined)).toBe(true)
    } finally {
      server.close()
    }
  }
  const online = (url: string) =>
    look({ CODEX_AUTH_ISSUER: url, CODEX_BASE_URL: url }, { offline: false })

  test('is as that of the service', async () => {
    await withService(new Date().toUTCString(), async (url) => {
      expect(of(await online(url), 'clock')).toMatchObject({ level: 'ok' })
    })
  })

  test('is told to be wrong, as a warning', async () => {
    await withService(new Date(Date.now() - 3_600_000).toUTCString(), async (url) => {
      expect(of(await online(url), 'clock')).toMatchObject({
        level: 'warning',
        message: expect.stringMatching(/3(599|60\d) s ahead of/),
      })
    })
  })

  test('is no problem where nobody answers', async () => {
    expect(of(await online('http://127.0.0.1:1'), 'clock')).toMatchObject({ level: 'warning' })
  })
})

describe('the command', () => {
  const doctor = (...args: string[]) =>
    home.run(['doctor', '--offline', ...args], {
      env: { ...env, AGENT_ENGINE: '', AGENT_PROVIDER: '' },
    })

  test('prints a line a check and ends with 1 when there is a problem', async () => {
    const { code, stdout } = await doctor()

    expect(code).toBe(1)
    expect(stdout).toMatch(/^✓ node {9}Node /)
    expect(stdout).toMatch(/^✗ engine /m)
  })

  test('prints one JSON line when asked to', async () => {
    const { code, stdout } = await doctor('--json')

    expect(code).toBe(1)
    expect(stdout.trim().split('\n')).toHaveLength(1)
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, checks: expect.any(Array) })
  })

  test('ends an attack without an engine with the code for that', async () => {
    const { code, stderr } = await doctor('--attack')

    expect(code).toBe(5)
    expect(stderr).toContain('cannot be used')
  })
})

describeWithEngine('on a machine with an engine, the doctor', ({ docker, image }) => {
  test('starts a container to see that it finds what we put there, and leaves none', async () => {
    const diagnosis = await look(
      { ...whereTheEngineIs, AGENT_IMAGE: image },
      { deadlineMs: 60_000 },
    )

    for (const check of ['engine', 'image', 'sandbox', 'leftovers']) {
      expect(of(diagnosis, check), check).toMatchObject({ level: 'ok' })
    }
    expect(of(diagnosis, 'sandbox')?.message).toMatch(/Node \d+.*bash \d+.*by a mounted socket/)
    expect(of(diagnosis, 'sandbox')?.message).toMatch(
      / Its tools can(not)? make vsock sockets(, a way .* that no network setting cuts)?\.$/,
    )
    await withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] })
  }, 90_000)

  // As where this process is in a container with the socket of the engine outside.
  test.runIf(canHaveOwnMounts)(
    'says so where the engine does not find our files',
    async () => {
      const { status, stdout } = spawnSync(
        'unshare',
        [
          '--mount',
          'sh',
          '-c',
          'mount -t tmpfs none "$TMPDIR" && exec "$@"',
          'sh',
          process.execPath,
          home.cli,
          'doctor',
          '--offline',
          '--json',
        ],
        {
          cwd: home.workspace,
          encoding: 'utf8',
          env: {
            PATH: process.env.PATH,
            ...env,
            ...whereTheEngineIs,
            AGENT_IMAGE: image,
            TMPDIR: root,
            CODEX_DATA_DIR: dataDir,
          },
        },
      )

      const found = of(JSON.parse(stdout).checks, 'sandbox')
      // A machine that is too busy to start a container within the time is told that instead.
      if (found?.message.startsWith('Took longer')) return
      expect(status).toBe(1)
      expect(found).toMatchObject({
        level: 'problem',
        message: expect.stringContaining('does not find our files'),
        advice: expect.any(String),
      })
    },
    90_000,
  )

  test('says that an image is missing, and how to make it', async () => {
    const diagnosis = await look(
      { ...whereTheEngineIs, AGENT_IMAGE: 'codexbox-no-such-image' },
      { deadlineMs: 60_000 },
    )

    expect(of(diagnosis, 'engine')).toMatchObject({ level: 'ok' })
    expect(of(diagnosis, 'image')).toMatchObject({
      level: 'problem',
      advice: expect.stringContaining('--step image'),
    })
  }, 90_000)
})
