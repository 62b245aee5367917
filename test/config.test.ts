import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readConfig } from '../host/config.ts'
import { CodexboxError } from '../shared/errors.ts'

/** Stands where a secret would; no message may repeat it. */
const CANARY = 'sk-canary-5f1d0c'

let cwd: string

beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'codexbox-config-'))
})

afterEach(() => rmSync(cwd, { recursive: true, force: true }))

const writeEnv = (content: string | Buffer) => writeFileSync(join(cwd, '.env'), content)

/** The error of reading the settings, which there must be. */
function refusal(env: NodeJS.ProcessEnv = {}): CodexboxError {
  try {
    readConfig(env, cwd, true)
  } catch (error) {
    if (error instanceof CodexboxError) return error
    throw error
  }
  throw new Error('The settings were taken.')
}

describe('where settings come from', () => {
  test('without any there are defaults, the safe ones', () => {
    expect(readConfig({}, cwd, true)).toMatchObject({
      provider: undefined,
      engine: undefined,
      credentials: 'sealed',
      network: 'none',
      codexBaseUrl: new URL('https://chatgpt.com/backend-api/codex'),
      authIssuer: new URL('https://auth.openai.com'),
      openaiBaseUrl: new URL('https://api.openai.com/v1'),
    })
  })

  test('the environment wins over the .env, also with an empty value', () => {
    writeEnv('AGENT_MODEL=from-file\nAGENT_EFFORT=from-file\nAGENT_SUMMARY=from-file\n')

    const config = readConfig({ AGENT_MODEL: 'from-env', AGENT_SUMMARY: '' }, cwd, true)

    expect(config.model).toBe('from-env')
    expect(config.effort).toBe('from-file')
    expect(config.summary).toBeUndefined()
  })

  test('a .env that an agent could have written leads no token elsewhere and opens no sandbox', () => {
    const safe = readConfig({}, cwd)
    writeEnv(
      'AGENT_ENGINE=process\nAGENT_CREDENTIALS=direct\nAGENT_NETWORK=open\nAGENT_IMAGE=evil\n' +
        'AGENT_PROVIDER=openai\nCODEX_BASE_URL=https://evil.example\nOPENAI_BASE_URL=https://evil.example\n' +
        'CODEX_AUTH_ISSUER=https://evil.example\nCODEX_DATA_DIR=/evil\nAGENT_MODEL=mine\n',
    )

    const { notFollowed, ...config } = readConfig({}, cwd)

    const { notFollowed: _, ...defaults } = safe
    expect(config).toEqual({ ...defaults, model: 'mine' })
    expect(notFollowed).toContain('CODEX_BASE_URL')
    expect(notFollowed).toContain(join(cwd, '.env'))
    // Who sets it himself is not told about it.
    expect(readConfig({ AGENT_ENGINE: 'docker' }, cwd).notFollowed).not.toContain('AGENT_ENGINE')
  })

  test('a named pipe in the place of the .env is not waited for', () => {
    execFileSync('mkfifo', [join(cwd, '.env')])

    expect(readConfig({}, cwd).model).toBeUndefined()
  })

  test('a .env cannot set anything but our own names', () => {
    const foreign = { NODE_OPTIONS: '--require ./evil.cjs', PATH: '/evil', LD_PRELOAD: 'evil.so' }
    const network = {
      HTTPS_PROXY: 'http://evil',
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
      DOCKER_HOST: 'e',
    }
    const lines = Object.entries({ ...foreign, ...network }).map((entry) => entry.join('='))
    const before = { ...process.env }
    const without = readConfig({}, cwd, true)

    writeEnv(`${lines.join('\n')}\n`)

    expect(readConfig({}, cwd, true)).toEqual(without)
    expect(process.env).toEqual(before)
  })

  test('hosts that are allowed are read as they are asked for', () => {
    const { network } = readConfig(
      { AGENT_NETWORK: 'allow:GitHub.com, files.pythonhosted.org.' },
      cwd,
      true,
    )

    expect(network).toEqual({ allow: ['github.com', 'files.pythonhosted.org'] })
  })

  test('a data folder is taken relative to the current folder', () => {
    expect(readConfig({ CODEX_DATA_DIR: 'mine' }, cwd, true).dataDir).toBe(join(cwd, 'mine'))
  })
})

describe('a .env', () => {
  test.each([
    ['a byte order mark', '\uFEFFAGENT_MODEL=one\n', 'one'],
    ['Windows line ends', 'AGENT_EFFORT=low\r\nAGENT_MODEL=one\r\n', 'one'],
    ['no newline at its end', 'AGENT_MODEL=one', 'one'],
    ['export', 'export AGENT_MODEL=one\n', 'one'],
    ['double quotes', 'AGENT_MODEL="one two"\n', 'one two'],
    ['single quotes', "AGENT_MODEL='one two'\n", 'one two'],
    ['spaces around the sign', 'AGENT_MODEL = one\n', 'one'],
    ['a # in quotes', 'AGENT_MODEL="one#two"\n', 'one#two'],
    ['a comment behind the value', 'AGENT_MODEL=one # two\n', 'one'],
    ['a = in the value', 'AGENT_MODEL=one=two\n', 'one=two'],
    ['the same name twice', 'AGENT_MODEL=one\nAGENT_MODEL=two\n', 'two'],
    ['an empty value', 'AGENT_MODEL=\n', undefined],
    ['a commented-out line', '# AGENT_MODEL: one\n', undefined],
    ['lines that are no settings', 'hello world\n=x\n\nAGENT_MODEL=one\n', 'one'],
  ])('may have %s', (_what, content, model) => {
    writeEnv(content)

    expect(readConfig({}, cwd, true).model).toBe(model)
  })

  test.each(['$(id)', 'a`id`', '$HOME', '$HOME/x'])(
    'is not a shell script: %s stays text',
    (text) => {
      writeEnv(`AGENT_MODEL='${text}'\n`)

      expect(readConfig({}, cwd, true).model).toBe(text)
    },
  )

  test.each([
    ['a quote that is never closed', `OPENAI_API_KEY="${CANARY}\n`, 'OPENAI_API_KEY'],
    ['a setting with a colon', `AGENT_MODEL=x\nOPENAI_API_KEY: ${CANARY}\n`, 'line 2'],
    ['a setting without a sign', `export OPENAI_API_KEY ${CANARY}\n`, 'OPENAI_API_KEY'],
    ['NUL bytes', `OPENAI_API_KEY=${CANARY}\0\n`, 'NUL'],
    ['2 MB', `OPENAI_API_KEY=${CANARY}\n#${'x'.repeat(2 * 1024 * 1024)}\n`, '1 MB'],
  ])('with %s is refused, without repeating it', (_what, content, named) => {
    writeEnv(content)

    const { code, message } = refusal()

    expect(code).toBe('config-invalid')
    expect(message).toContain(join(cwd, '.env'))
    expect(message).toContain(named)
    expect(message).not.toContain(CANARY)
  })

  test('that is a folder, as of a Python environment, is none', () => {
    mkdirSync(join(cwd, '.env'))

    expect(readConfig({}, cwd, true).credentials).toBe('sealed')
  })
})

describe('a base URL', () => {
  test.each([
    'https://example.com/v1',
    'http://localhost:1234',
    'http://127.0.0.1:1234/v1',
    'http://127.8.8.8',
    'http://[::1]:1234',
    'http://10.0.0.1',
    'http://172.31.255.255',
    'http://192.168.1.1',
    'http://[fd12:3456::1]',
  ])('may be %s', (url) => {
    expect(readConfig({ OPENAI_BASE_URL: url }, cwd, true).openaiBaseUrl.href).toBe(
      new URL(url).href,
    )
  })

  test.each([
    ['http://example.com', 'must be https'],
    ['http://8.8.8.8', 'must be https'],
    ['http://172.32.0.1', 'must be https'],
    ['http://192.169.0.1', 'must be https'],
    ['http://[2001:db8::1]', 'must be https'],
    ['http://[::ffff:8.8.8.8]', 'must be https'],
    // Looks private, and is a name that may lead anywhere.
    ['http://10.0.0.1.example.com', 'must be https'],
    ['http://localhost.example.com', 'must be https'],
    ['http://0.0.0.0', 'must be https'],
    ['ftp://example.com', 'must be https'],
    ['file:///etc/passwd', 'must be https'],
    ['javascript:alert(1)', 'must be https'],
    [`https://api.openai.com@evil.example/${CANARY}`, 'user name'],
    [`https://user:${CANARY}@example.com`, 'user name'],
    [`https://example.com/?key=${CANARY}`, 'query'],
    [`https://example.com/#${CANARY}`, 'fragment'],
    [`${CANARY}`, 'not a URL'],
  ])('must not be %s', (url, why) => {
    for (const name of ['CODEX_BASE_URL', 'CODEX_AUTH_ISSUER', 'OPENAI_BASE_URL']) {
      const { code, message } = refusal({ [name]: url })

      expect(code).toBe('config-invalid')
      expect(message).toContain(`${name} (from the environment)`)
      expect(message).toContain(why)
      expect(message).not.toContain(CANARY)
    }
  })
})

describe('a value that is none of the choices', () => {
  test.each([
    ['AGENT_ENGINE', 'podman', '"docker" speaks to the socket of Podman as well. Start that'],
    ['AGENT_CREDENTIALS', 'none', '"sealed"|"direct"'],
    ['AGENT_NETWORK', 'yes', '"none"|"open"'],
    ['AGENT_NETWORK', 'allow', 'allow:HOST,HOST'],
    ['AGENT_NETWORK', 'allow:', 'host 1 of the list is empty'],
    ['AGENT_NETWORK', 'allow:github.com,*.example.com', 'host 2 of the list has a wildcard'],
    ['AGENT_NETWORK', 'allow:169.254.169.254', 'host 1 of the list is a private'],
    ['AGENT_ENGINE', 'Docker', '"docker"|"process"'],
  ])('%s=%s is refused with the choices', (name, value, choices) => {
    writeEnv(`${name}=${value}\nOPENAI_API_KEY=${CANARY}\n`)

    const { code, message } = refusal()

    expect(code).toBe('config-invalid')
    expect(message).toContain(`${name} (from ${join(cwd, '.env')})`)
    expect(message).toContain(choices)
    expect(message).not.toContain(CANARY)
  })

  test('the socket of Podman is spoken of to those who ask for it, and to nobody else', () => {
    expect(refusal({ AGENT_ENGINE: 'podman' }).message).toContain('DOCKER_HOST=unix:///')
    expect(refusal({ AGENT_ENGINE: 'dokcer' }).message).not.toContain('Podman')
  })

  test('all of them are named at once', () => {
    const { message } = refusal({ AGENT_ENGINE: 'x', AGENT_NETWORK: 'y', OPENAI_API_KEY: CANARY })

    expect(message).toContain('AGENT_ENGINE (from the environment)')
    expect(message).toContain('AGENT_NETWORK (from the environment)')
    expect(message).not.toContain(CANARY)
  })
})
