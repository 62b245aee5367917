import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Dockerode from 'dockerode'
import { afterAll, expect, test } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import type { AgentSpec } from '../../host/engine/engine.ts'
import { removeContainer } from '../../host/engine/remove-container.ts'
import { agentFile } from '../../host/package-root.ts'
import { someSource } from '../fakes/container-script.ts'
import { describeWithEngine, uniqueName, withoutLeftovers } from '../real-engine.ts'
import {
  aHeldWorkspace,
  anEmptyImage,
  aWorkspace,
  cleanUp,
  later,
  startAgent,
  until,
} from './engine-contract.ts'
import { type EngineProxy, startEngineProxy } from './engine-proxy.ts'
import { type HostProcess, startHost } from './host-process.ts'

describeWithEngine(
  'the docker engine, when something is wrong,',
  ({ docker, image, source, isPodman }) => {
    const socketPath = (docker.modem as unknown as { socketPath: string }).socketPath

    afterAll(async () => {
      await cleanUp()
      await withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] })
    })

    test.each([
      ['codexbox-test-nowhere:1', /docker pull codexbox-test-nowhere:1.*AGENT_IMAGE.*--step image/],
      ['codexbox-tools:nowhere', /codexbox-tools:nowhere.*--step image.*AGENT_IMAGE/],
    ])(
      'names an image %s that is missing, and the command that makes it',
      async (name, message) => {
        const engine = dockerEngine(docker, name, source)

        for (const attempt of [() => engine.check(), () => engine.start(aSpec())]) {
          await expect(attempt()).rejects.toMatchObject({
            code: 'image-missing',
            message: expect.stringMatching(message),
          })
        }
      },
    )

    test('says of an image without node that it cannot be used, and leaves nothing', async () => {
      const name = await anEmptyImage(docker)

      // Engines with an init process of their own notice only after the start.
      await expect(dockerEngine(docker, name, source).start(aSpec())).rejects.toMatchObject({
        code: 'image-unusable',
        message: expect.stringMatching(
          new RegExp(`${name} cannot run node .*Node 20 .*--step image --force`),
        ),
      })
      await withoutLeftovers(docker, { ancestor: [name] })
    })

    test('says the same where the container is gone before its last words are here', async () => {
      const name = await anEmptyImage(docker)
      const { socketPath: behindLag, close } = await startEngineProxy(socketPath, 300)
      later(close)
      const lagging = new Dockerode({ socketPath: behindLag })
      const { createContainer } = lagging
      lagging.createContainer = async (options: Dockerode.ContainerCreateOptions) => {
        const container: Dockerode.Container = await createContainer.call(lagging, options)
        const { start } = container
        container.start = async (startOptions: object = {}) => {
          await start.call(container, startOptions)
          await container.wait({ condition: 'removed' }).catch(() => {})
        }
        return container
      }

      await expect(dockerEngine(lagging, name, source).start(aSpec())).rejects.toMatchObject({
        code: 'image-unusable',
        message: expect.stringContaining(`${name} cannot run node`),
      })
    })

    // Podman makes what is missing.
    test.skipIf(isPodman)('says which folder it could not mount, and leaves nothing', async () => {
      const spec = aSpec({ workspace: someSource('/nonexistent/workspace') })

      await expect(dockerEngine(docker, image, source).start(spec)).rejects.toMatchObject({
        code: 'engine-unavailable',
        message: expect.stringContaining('/nonexistent/workspace'),
      })
      await withoutLeftovers(docker, { name: [spec.name] })
    })

    test.concurrent('an engine that dies in the middle of a run ends it as lost, and the container goes', async () => {
      const { host, proxy, runId } = await aRunThrough(socketPath, image)

      const cutAt = performance.now()
      proxy.cut()
      const finished = await host.until('finished')

      expect(finished).toMatchObject({ status: 'failed', error: { code: 'container-lost' } })
      expect(performance.now() - cutAt).toBeLessThan(15_000)
      expect(await host.ended()).toBe(0)
      await goes(docker, runId)
    })

    test.concurrent('an engine that mixes up its stream ends the run, and the container goes', async () => {
      const { host, proxy, runId } = await aRunThrough(socketPath, image)

      proxy.inject(Buffer.from('this is no frame of any stream'))
      const finished = await host.until('finished')

      expect(finished).toMatchObject({ status: 'failed', error: { code: 'protocol-violation' } })
      expect(await host.ended()).toBe(0)
      await goes(docker, runId)
    })

    test.concurrent('an engine that hangs in the middle of a run ends it as lost within 15 s', async () => {
      const { host, proxy, runId } = await aRunThrough(socketPath, image)

      const frozenAt = performance.now()
      proxy.freeze()
      const finished = await host.until('finished')

      expect(finished).toMatchObject({
        status: 'failed',
        error: {
          code: 'container-lost',
          message: expect.stringContaining('does not answer any more'),
        },
      })
      expect(performance.now() - frozenAt).toBeLessThan(15_000)
      proxy.cut()
      expect(await host.ended()).toBe(0)
      await goes(docker, runId)
    }, 40_000)

    test.concurrent.for<[what: string, request: RegExp]>([
      ['looked at', /^GET \S*containers\/\w+\/json/],
      ['attached to', /^POST \S+\/attach/],
      ['started', /^POST \S+\/start/],
      ['reached by a relay', /^POST \S+\/exec/],
    ])(
      'an engine that hangs when a container is to be %s is given up within 15 s',
      { timeout: 90_000 },
      async ([what, request]) => {
        const proxy = await aProxy(socketPath)
        const { port, socketPath: path } = proxy
        const isRelayed = what.includes('relay')
        const way = isRelayed ? { host: '127.0.0.1', port } : { socketPath: path }
        const engine = dockerEngine(new Dockerode(way), image, 'the test')
        const spec = aSpec({ socketFolder: aWorkspace() })

        const frozen = proxy.freezeAt(request)
        const verdict = engine.start(spec).catch((error: unknown) => error)
        await frozen
        const frozenAt = performance.now()

        expect(await verdict).toMatchObject({ code: 'engine-unavailable' })
        expect(performance.now() - frozenAt).toBeLessThan(15_000)
        proxy.cut()
        await removeContainer(docker.getContainer(spec.name))
      },
    )

    test.concurrent('a container that somebody pauses ends the run as lost within 15 s, and goes', async () => {
      const { host, runId } = await aRunThrough(socketPath, image)

      const pausedAt = performance.now()
      await pause(docker.getContainer(`codexbox-${runId}`))
      const finished = await host.until('finished')

      expect(finished).toMatchObject({
        status: 'failed',
        error: { code: 'container-lost', message: expect.stringContaining('somebody paused it') },
      })
      expect(performance.now() - pausedAt).toBeLessThan(15_000)
      expect(await host.ended()).toBe(0)
      await goes(docker, runId)
    }, 40_000)

    test.concurrent('a container that somebody removes ends the run as lost at once', async () => {
      const { host, runId } = await aRunThrough(socketPath, image)

      const removedAt = performance.now()
      await removeContainer(docker.getContainer(`codexbox-${runId}`))
      const finished = await host.until('finished')

      expect(finished).toMatchObject({ status: 'failed', error: { code: 'container-lost' } })
      expect(performance.now() - removedAt).toBeLessThan(15_000)
      expect(await host.ended()).toBe(0)
    }, 40_000)

    test.concurrent('an engine that hangs keeps nobody who stops from going on', async () => {
      const proxy = await aProxy(socketPath)
      const engine = dockerEngine(
        new Dockerode({ socketPath: proxy.socketPath }),
        image,
        'the test',
      )
      const { agent, begin, events, name } = await startAgent(engine)
      begin('run: sleep 600')
      await until(events, 'tool.started')

      proxy.freeze()
      const stoppedAt = performance.now()
      await agent.stop(0)

      await expect(until(events, 'finished')).rejects.toThrow('The output ended')
      expect(performance.now() - stoppedAt).toBeLessThan(15_000)
      proxy.cut()
      await goes(docker, name.replace('codexbox-', ''))
    })
  },
)

// ---- helpers ----

function aSpec(given: Partial<AgentSpec> = {}): AgentSpec {
  return {
    name: uniqueName('fault'),
    agentFile,
    workspace: aHeldWorkspace(),
    socketFolder: undefined,
    network: 'none',
    user: { uid: process.getuid?.() || 1000, gid: process.getgid?.() || 1000 },
    ...given,
  }
}

async function aProxy(target: string): Promise<EngineProxy> {
  const proxy = await startEngineProxy(target)
  later(() => proxy.close())
  return proxy
}

/** A host in the middle of a tool call, on an engine behind a proxy. */
async function aRunThrough(
  socketPath: string,
  image: string,
): Promise<{ host: HostProcess; proxy: EngineProxy; runId: string }> {
  const proxy = await aProxy(socketPath)
  const dataDir = mkdtempSync(join(tmpdir(), 'codexbox-data-'))
  const host = startHost(
    {
      prompt: 'run: sleep 600',
      workspace: aWorkspace(),
      settings: { provider: 'demo', engine: 'docker', image, dataDir },
    },
    { env: { DOCKER_HOST: `unix://${proxy.socketPath}` } },
  )
  later(() => {
    host.child.kill('SIGKILL')
    rmSync(dataDir, { recursive: true, force: true })
  })
  const { runId } = await host.until('tool.started')
  return { host, proxy, runId: String(runId) }
}

/** Freezing fails where the kernel is busy with the container. */
async function pause(container: Dockerode.Container): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await container.pause()
      return
    } catch (error) {
      if (tries === 5) throw error
    }
  }
}

/** Resolves when the container of a run is gone; the test's own time limit is the bound. */
async function goes(docker: Dockerode, runId: string): Promise<void> {
  const container = docker.getContainer(`codexbox-${runId}`)
  const gone = await container.wait({ condition: 'removed' }).catch((error: unknown) => error)
  expect(gone).toSatisfy(
    (answer: { StatusCode?: number; statusCode?: number }) =>
      answer.StatusCode !== undefined || answer.statusCode === 404,
  )
}
