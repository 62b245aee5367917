import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { fileTokenStore } from '../../host/auth/token-store.ts'
import { readConfig } from '../../host/config.ts'
import { environmentStep } from '../../setup/steps/environment.ts'
import { NO_DOCKER } from '../cli/cli-process.ts'
import { someTokens } from '../fakes/some-tokens.ts'
import { describeWithEngine } from '../real-engine.ts'

const IMAGE = 'some-tools:latest'

let dataDir: string
let engine: Server | undefined

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'codexbox-environment-'))
})

afterEach(() => {
  vi.unstubAllEnvs()
  engine?.close()
  engine = undefined
  rmSync(dataDir, { recursive: true, force: true })
})

const look = (image = IMAGE) =>
  environmentStep.run([], readConfig({ CODEX_DATA_DIR: dataDir, AGENT_IMAGE: image }, dataDir))

/** An engine that answers, and has these images. */
async function startEngine(...images: string[]): Promise<void> {
  engine = createServer((request, response) => {
    const isPing = request.url?.endsWith('/_ping')
    const known = ['/_ping', '/info', ...images.map((image) => `/images/${image}/json`)]
    const isKnown = known.some((path) => request.url?.includes(path))
    response.writeHead(isKnown ? 200 : 404, { 'content-type': 'application/json' })
    response.end(isPing ? 'OK' : '{}')
  }).listen(0, '127.0.0.1')
  await once(engine, 'listening')
  vi.stubEnv('DOCKER_HOST', `tcp://127.0.0.1:${(engine.address() as AddressInfo).port}`)
}

describe('the environment step', () => {
  test('without an engine reports what is there, and what it takes to have one', async () => {
    vi.stubEnv('DOCKER_HOST', NO_DOCKER.DOCKER_HOST)

    const result = await look()

    expect(result).toMatchObject({
      status: 'unchanged',
      fields: {
        NODE: process.versions.node,
        ENGINE: 'none',
        IMAGE: `${IMAGE} (unknown)`,
        SIGNED_IN: 'no',
        DATA_DIR: dataDir,
        AGENT_SCRIPT: 'built',
        READY_FOR: 'demo without a container',
      },
      detail: expect.stringContaining('/nonexistent/docker.sock'),
    })
    expect(readdirSync(dataDir)).toEqual([])
  })

  test('with an engine but no image says how to make it', async () => {
    await startEngine()

    expect(await look()).toMatchObject({
      fields: {
        ENGINE: 'present',
        IMAGE: `${IMAGE} (missing)`,
        READY_FOR: 'demo without a container',
      },
      detail: expect.stringContaining('--step image'),
    })
  })

  test('with engine and image is ready for the demo, and signed in for runs', async () => {
    await startEngine(IMAGE)

    expect(await look()).toMatchObject({
      fields: { IMAGE: `${IMAGE} (present)`, SIGNED_IN: 'no', READY_FOR: 'demo' },
      detail: expect.stringMatching(/^Everything is here but a sign-in .*--step codex-auth/),
    })

    const tokens = someTokens()
    await fileTokenStore(dataDir).replace(tokens)
    const result = await look()
    expect(result).toMatchObject({
      fields: { SIGNED_IN: 'yes', READY_FOR: 'runs' },
      detail: 'Everything is here.',
    })
    expect(JSON.stringify(result)).not.toContain(tokens.access_token)
    expect(JSON.stringify(result)).not.toContain(tokens.refresh_token)
  })
})

describeWithEngine('the environment step and a real engine', ({ image, source }) => {
  test('find each other', async () => {
    expect(await look(image)).toMatchObject({
      fields: { ENGINE: expect.stringContaining(source), IMAGE: `${image} (present)` },
    })
  })
})
