import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import { startFakeIssuer } from '../fakes/issuer.ts'
import { type JsonService, startJsonService } from '../fakes/json-service.ts'
import {
  callsAnswer,
  type Exchange,
  type ModelServer,
  startModelServer,
  textAnswer,
} from '../fakes/model-server.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { UNSEEN } from '../fakes/unseen-characters.ts'
import { wireModel } from '../models/wire-model.ts'
import { asking, type CliResult, type Home, openHome } from './cli-process.ts'
import { MODELS, signedIn, USAGE } from './signed-in.ts'

// In an argument there can be no NUL.
const characters = UNSEEN.filter(([char]) => char !== '\0')
const EVIL = characters.map(([char]) => `a${char}`).join('')
const SHOWN = characters.map(([, , shown]) => `a${shown}`).join('')

let home: Home
let server: ModelServer | undefined
let service: JsonService | undefined

beforeEach(() => {
  home = openHome()
})

afterEach(async () => {
  await server?.close()
  await service?.close()
  server = service = undefined
  home.clear()
})

async function askingServer(...script: Exchange[]): Promise<NodeJS.ProcessEnv> {
  server = await startModelServer(script)
  return asking(server)
}

/** What was printed, in which nothing may be unseen. */
function printed(...results: CliResult[]): string {
  const all = results.map(({ stdout, stderr }) => stdout + stderr).join('')
  expect(UNSEEN.filter(([char]) => all.includes(char)).map(([, what]) => what)).toEqual([])
  return all
}

describe('characters that are not seen', () => {
  test('are shown as escapes, whoever says them in a run or in what is kept of it', async () => {
    const file = `Makefile${EVIL.slice(0, 60)}`
    const env = await askingServer(
      { status: 500, body: { error: { message: `Later ${EVIL}` } } },
      callsAnswer(['bash', { command: `echo '${EVIL}'` }], [`bash${EVIL}`, `{"x":"${EVIL}"`]),
      callsAnswer(['write_file', { path: file, content: EVIL }], ['read_file', { path: EVIL }]),
      textAnswer(`Said ${EVIL}`),
      { status: 400, body: { error: { message: `Not this ${EVIL}` } } },
    )

    const run = await home.run(['run', '--session', 'evil', `Go ${EVIL}`], { env })
    const failed = await home.run(['run', '--session', 'evil', 'Go.'], { env })
    const shown = await home.run(['sessions', 'show', 'evil'])

    expect(run.code).toBe(0)
    // A file or a program gets the answer as it is.
    expect(run.stdout).toBe(`Said ${EVIL}\n`)
    expect(shown.stdout).toContain(`› Go ${SHOWN}`)
    printed({ ...run, stdout: '' }, failed, shown)
  })

  test('are escapes of JSON in events, with the same value', async () => {
    const env = await askingServer(
      callsAnswer(['bash', { command: `printf '${EVIL}'` }]),
      textAnswer(`Said ${EVIL}`),
    )

    const run = await home.run(['run', '--json', '--session', 'evil', `Go ${EVIL}`], { env })
    const shown = await home.run(['sessions', 'show', '--json', 'evil'])

    const values = printed(run, shown)
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    const messages = values.map(({ item }) => item?.content?.[0]?.text).filter(Boolean)
    expect(messages.filter((text) => text === `Said ${EVIL}`)).toHaveLength(2)
    expect(messages).toContain(`Go ${EVIL}`)
    expect(values.find(({ type }) => type === 'tool.started').arguments).toContain(
      JSON.stringify(EVIL).slice(1, -1),
    )
  })

  test('are escapes in the names of files that are reported', async () => {
    const folder = join(home.workspace, EVIL.slice(0, 80))
    mkdirSync(folder)
    const env = await askingServer(
      callsAnswer(['write_file', { path: `${EVIL.slice(0, 80)}/package.json`, content: SCRIPT }]),
      textAnswer(),
      textAnswer(),
    )

    const run = await home.run(['run', 'Go.'], { env })
    const missing = await home.run(['run', '-w', join(home.workspace, `x${EVIL}`), 'Go.'], { env })
    const missingJson = await home.run(['run', '--json', '--image', EVIL, 'Go.'], { env })

    expect(run.stderr).toContain('can run commands on your machine later:')
    expect(missing).toMatchObject({ code: 2, stderr: expect.stringContaining(SHOWN) })
    expect(missingJson.code).toBe(2)
    printed(run, missing, missingJson)
  })

  test('are escapes in what is made of a wrong command line', async () => {
    printed(
      await home.run([`--${EVIL}`]),
      await home.run(['sessions', `x${EVIL}`]),
      await home.run(['sessions', 'show', EVIL]),
      await home.run(['--timeout', EVIL, 'run', 'Go.']),
    )
  })

  test('are escapes in lists of sessions and models', async () => {
    const sessions = join(home.dataDir, 'sessions')
    mkdirSync(sessions, { recursive: true })
    writeFileSync(join(sessions, `${EVIL.slice(0, 80)}.jsonl`), '')
    service = await startJsonService()
    service.replies[MODELS] = [
      { json: { models: [wireModel('gpt-evil', { display_name: EVIL })] } },
      { json: { models: [wireModel('gpt-evil', { display_name: EVIL })] } },
    ]
    const env = await signedIn(home, service)

    const results = await Promise.all([
      home.run(['sessions']),
      home.run(['sessions', '--json']),
      home.run(['models'], { env }),
      home.run(['models', '--json'], { env }),
    ])

    expect(results.map(({ code }) => code)).toEqual([0, 0, 0, 0])
    printed(...results)
    const [, list, , models] = results
    expect(JSON.parse(list.stdout).name).toBe(EVIL.slice(0, 80))
    expect(JSON.parse(models.stdout).models[0].name).toBe(EVIL)
  })

  test('are escapes in what is said of the account', async () => {
    service = await startJsonService()
    const limit = { used_percent: 90, limit_window_seconds: 3600, reset_at: 1 }
    const usage = { json: { plan_type: EVIL, rate_limit: { primary_window: limit } } }
    service.replies[USAGE] = [usage, usage]
    const env = await signedIn(home, service)
    await fileTokenStore(home.dataDir).replace(
      someTokens({ email: `a${EVIL}@example.com`, plan: EVIL }),
    )

    const results = [
      await home.run(['usage'], { env }),
      await home.run(['usage', '--json'], { env }),
      await home.run(['status'], { env }),
      await home.run(['status', '--json'], { env }),
    ]

    expect(results.map(({ code }) => code)).toEqual([0, 0, 0, 0])
    printed(...results)
    expect(JSON.parse(results[3]?.stdout ?? '').plan).toBe(EVIL)
  })

  test('are escapes in what a sign-in says', async () => {
    const issuer = await startFakeIssuer()
    issuer.device.approved = true
    const dataDir = join(home.workspace, '..', EVIL.slice(0, 80))
    mkdirSync(dataDir)
    writeFileSync(join(dataDir, 'codex-tokens.json'), 'damaged', { mode: 0o600 })
    const env = { CODEX_DATA_DIR: dataDir, CODEX_AUTH_ISSUER: issuer.url.origin, CODEX_HOME: EVIL }

    const imported = await home.run(['login', '--import'], { env })
    const signedIn = await home.run(['login', '--device'], { env })
    await issuer.close()

    expect(imported.code).toBe(3)
    expect(signedIn).toMatchObject({ code: 0, stderr: expect.stringContaining('was damaged') })
    printed(imported, signedIn)
  })

  test('are escapes in what the doctor finds', async () => {
    const dataDir = join(home.workspace, '..', EVIL.slice(0, 80))
    mkdirSync(dataDir)
    symlinkSync(dataDir, join(dataDir, 'codex-tokens.json'))
    const env = { CODEX_DATA_DIR: dataDir, AGENT_MODEL: EVIL, AGENT_IMAGE: EVIL }

    const results = [
      await home.run(['doctor', '--offline'], { env }),
      await home.run(['doctor', '--offline', '--json'], { env }),
    ]

    expect(printed(...results)).toContain(SHOWN.slice(0, 60))
    expect(JSON.parse(results[1]?.stdout ?? '').checks.length).toBeGreaterThan(3)
  })
})

const SCRIPT = '{"scripts":{"postinstall":"true"}}'
