import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { readConfig } from '../../host/config.ts'
import { verifyStep } from '../../setup/steps/verify.ts'
import {
  type Exchange,
  type ModelServer,
  startModelServer,
  textAnswer,
} from '../fakes/model-server.ts'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'

let folder: string
let server: ModelServer | undefined

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'codexbox-verify-test-'))
  // What the step makes for itself can then be seen, and that it is removed.
  vi.stubEnv('TMPDIR', folder)
})

afterEach(async () => {
  vi.unstubAllEnvs()
  await server?.close()
  server = undefined
  rmSync(folder, { recursive: true, force: true })
})

const verify = (env: NodeJS.ProcessEnv) =>
  verifyStep.run([], readConfig({ CODEX_DATA_DIR: join(folder, 'data'), ...env }, folder))

async function verifyWithServer(...script: Exchange[]) {
  server = await startModelServer(script)
  return verify({
    AGENT_ENGINE: 'process',
    AGENT_PROVIDER: 'openai',
    OPENAI_API_KEY: 'sk-canary',
    OPENAI_BASE_URL: new URL('.', server.endpoint.url).href,
  })
}

/** No workspace, no session, no socket. */
function expectNothingLeft(): void {
  const left = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  // The book of requests is no leftover.
  const kept = ['data', join('data', 'sessions'), join('data', 'requests.jsonl')]
  expect(left.filter((path) => !kept.includes(path))).toEqual([])
}

describe('the verify step', () => {
  test('makes a real run, says what it proved, and leaves nothing behind', async () => {
    expect(await verify({ AGENT_ENGINE: 'process', AGENT_PROVIDER: 'demo' })).toMatchObject({
      status: 'done',
      fields: { PROVIDER: 'demo', ENGINE: 'process', RUN: 'done', TOOL_CALLS: '1' },
      detail: expect.stringMatching(/scripted demo \(no model was asked\).*NOT isolated/),
    })
    expectNothingLeft()
  })

  test('does not take the word of a model for it', async () => {
    expect(await verifyWithServer(textAnswer('done'))).toMatchObject({
      status: 'failed',
      fields: { RUN: 'done' },
      detail: expect.stringContaining('the file it was to write is not there'),
    })
    expectNothingLeft()
  })

  test('fails with the reason of the run', async () => {
    const refusal = { status: 400, body: { error: { message: 'Not like this.' } } }

    expect(await verifyWithServer(refusal)).toMatchObject({
      status: 'failed',
      fields: { RUN: 'failed' },
      detail: expect.stringContaining('Not like this.'),
    })
    expectNothingLeft()
  })

  test('fails with the reason when nothing could be started', async () => {
    expect(await verify({ AGENT_ENGINE: 'process', AGENT_PROVIDER: 'codex' })).toMatchObject({
      status: 'failed',
      fields: { RUN: 'not started', CODE: 'not-signed-in' },
    })
    expectNothingLeft()
  })
})

describeWithEngine('the verify step on a real engine', ({ docker, image }) => {
  test('gets a file out of a container', async () => {
    expect(
      await verify({ AGENT_ENGINE: 'docker', AGENT_PROVIDER: 'demo', AGENT_IMAGE: image }),
    ).toMatchObject({
      status: 'done',
      fields: { ENGINE: 'docker', CREDENTIALS: 'sealed', NETWORK: 'none' },
      detail: expect.stringContaining('in a container'),
    })
    expectNothingLeft()
    await withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] })
  })
})
