import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { processEngine } from '../../host/engine/process-engine.ts'
import { startAgent, testEngineContract, until } from './engine-contract.ts'

describe('the process engine keeps the contract of engines', () => {
  testEngineContract(processEngine)

  test('tools see nothing of our environment that could be a secret', async () => {
    vi.stubEnv('OPENAI_API_KEY', 'canary-key')
    vi.stubEnv('NODE_OPTIONS', '--title=canary')
    const { begin, events, workspace } = await startAgent(processEngine)
    vi.unstubAllEnvs()

    begin('run: env > env.txt')
    await until(events, 'finished')

    const env = readFileSync(join(workspace, 'env.txt'), 'utf8')
    expect(env).toContain('PATH=')
    expect(env).not.toContain('canary')
  })
})
