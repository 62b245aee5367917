import { afterEach, expect, test, vi } from 'vitest'
import { chooseEngine } from '../../host/engine/choose-engine.ts'

const image = 'codexbox-tools:latest'

afterEach(() => vi.unstubAllEnvs())

test('plain processes are used when they were asked for by name', async () => {
  const choice = await chooseEngine({ engine: 'process', image }, false)

  expect(choice.engine.name).toBe('process')
  expect(choice.missing).toBeUndefined()
})

test('without Docker the demo runs in plain processes, and it is said why', async () => {
  vi.stubEnv('DOCKER_HOST', 'unix:///nonexistent/docker.sock')

  const choice = await chooseEngine({ engine: undefined, image }, true)

  expect(choice.engine.name).toBe('process')
  expect(choice.missing).toMatchObject({ code: 'engine-unavailable' })
})

test.each([
  ['for a model', undefined, false],
  ['for the demo when Docker was asked for by name', 'docker', true],
] as const)('without Docker nothing else is used %s', async (_, engine, mayFallBack) => {
  vi.stubEnv('DOCKER_HOST', 'unix:///nonexistent/docker.sock')

  await expect(chooseEngine({ engine, image }, mayFallBack)).rejects.toMatchObject({
    code: 'engine-unavailable',
    message: expect.stringContaining('/nonexistent/docker.sock'),
  })
})
