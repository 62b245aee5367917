import Dockerode from 'dockerode'
import { afterAll, beforeAll, describe } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import type { Engine } from '../../host/engine/engine.ts'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'
import { testEngineContract } from './engine-contract.ts'
import { type EngineProxy, startEngineProxy } from './engine-proxy.ts'

describeWithEngine('an engine that is reached over the network', ({ docker, image }) => {
  let proxy: EngineProxy
  let engine: Engine

  beforeAll(async () => {
    proxy = await startEngineProxy((docker.modem as unknown as { socketPath: string }).socketPath)
    const { port } = proxy
    const remote = new Dockerode({ host: '127.0.0.1', port, protocol: 'http' })
    engine = dockerEngine(remote, image, 'the test')
  })
  afterAll(async () => {
    await proxy.close()
    await withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] })
  })

  describe('keeps the promises of any other', () => {
    testEngineContract({
      name: 'docker',
      description: 'the test',
      check: () => engine.check(),
      start: (spec) => engine.start(spec),
    })
  })
})
