import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import Dockerode from 'dockerode'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import type { AgentSpec, Engine } from '../../host/engine/engine.ts'
import { agentFile } from '../../host/package-root.ts'
import { type MountSource, releaseSources } from '../../host/workspace/mount-source.ts'
import { type Pin, pinGit } from '../../host/workspace/pin-git.ts'
import { describeWithEngine, uniqueName, withoutLeftovers } from '../real-engine.ts'
import { aHeldWorkspace, cleanUp, later, startAgent, TOOL_USER, until } from './engine-contract.ts'
import { startEngineProxy } from './engine-proxy.ts'

/** A container script that writes what it is given in the place of what the real one reports. */
const reporting = (change: string, script: string) => `
if (process.argv[2] === 'agent') {
  const fs = require('node:fs')
  const { writeFileSync } = fs
  fs.writeFileSync = (file, text) => {
    fs.writeFileSync = writeFileSync
    const report = JSON.parse(text)
    ${change}
    writeFileSync(file, JSON.stringify(report) + '\\n')
  }
}
${script}`

describeWithEngine('what is mounted', ({ docker, image, source, isPodman }) => {
  const { socketPath } = docker.modem as unknown as { socketPath: string }
  const local = dockerEngine(docker, image, source)
  let overTcp: Engine
  let apart: Engine

  beforeAll(async () => {
    const proxy = await startEngineProxy(socketPath)
    overTcp = dockerEngine(
      new Dockerode({ host: '127.0.0.1', port: proxy.port, protocol: 'http' }),
      image,
      'over tcp',
    )
    apart = inMachine(dockerEngine(elsewhere(socketPath), image, 'in a machine'))
    return () => proxy.close()
  })
  afterEach(cleanUp)
  afterAll(() => withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] }))

  const engines: [name: string, engine: () => Engine][] = [
    ['an engine on this machine', () => local],
    ['one that is reached over the network', () => overTcp],
    ['one in a virtual machine, where files have other numbers', () => apart],
  ]

  test.each(engines)(
    'on %s, an honest start succeeds and leaves no file behind',
    async (_, engine) => {
      const { agent, workspace, begin, events } = await startAgent(withPins(engine()))

      begin('run: echo written > /workspace/file')

      expect(await until(events, 'finished')).toMatchObject({ status: 'done' })
      expect(agent.view.workspace).toBe('/workspace')
      expect(readdirSync(workspace).sort()).toEqual(['.git', 'file'])
      expect(readdirSync(join(workspace, '.git')).sort()).toEqual([
        'config',
        'config.worktree',
        'hooks',
        'modules',
        'worktrees',
      ])
      expect(readdirSync(join(workspace, '.git/hooks'))).toEqual([])
    },
  )

  test.each(
    engines.flatMap(([name, engine]) =>
      ['', '.git', '.git/hooks', '.git/config'].map((at) => [name, at, engine] as const),
    ),
  )(
    'on %s, nothing is given to a container that has another /workspace/%s',
    async (_, at, engine) => {
      const [workspace, other] = [aRepository(), aRepository()]
      const pins = hold(pinGit(workspace))
      // As if it had been swapped after it was opened, and swapped back before the start was over.
      const swapped = <T extends MountSource>(held: T): T => ({
        ...held,
        path: join(other.path, at),
      })
      const spec = {
        ...aSpec(workspace),
        ...(at === '' ? { workspace: swapped(workspace), pinned: [] } : {}),
        ...(at === '' ? {} : { pinned: pins.map((pin) => (pin.at === at ? swapped(pin) : pin)) }),
      }

      await expect(engine().start(spec)).rejects.toMatchObject({
        code: 'workspace-invalid',
        message: expect.stringMatching(
          `was replaced while a container was started: in there, ${join('/workspace', at)} is not what`,
        ),
      })
      await withoutLeftovers(docker, { name: [spec.name] })
      expect(readdirSync(join(other.path, '.git/hooks'))).toEqual([])
    },
  )

  test.skipIf(process.getuid?.() !== 0)(
    'a part of the repository that tools cannot open ends the start with what to do',
    async () => {
      const workspace = aRepository()
      chmodSync(join(workspace.path, '.git'), 0)
      const spec = { ...aSpec(workspace), pinned: hold(pinGit(workspace)) }

      await expect(local.start(spec)).rejects.toMatchObject({
        code: 'workspace-invalid',
        message: expect.stringMatching(
          /EACCES\)\. That container was removed .*Let the owner .*chmod u\+rwx/,
        ),
      })
      await withoutLeftovers(docker, { name: [spec.name] })
    },
  )

  // Podman looks for it when it starts the container.
  test.skipIf(isPodman).each([
    [1, 'nothing', { succeeds: true }],
    [1, 'a file in the place of .git', { succeeds: true }],
    [Infinity, 'nothing', { succeeds: false }],
  ] as const)(
    'what tools have moved away %d times when a container is made, leaving %s',
    async (times, left, { succeeds }) => {
      const workspace = aRepository()
      const pins = hold(pinGit(workspace))
      const hooks = join(workspace.path, '.git/hooks')
      let moves = 0
      const docker = new Dockerode({ socketPath })
      const create = docker.createContainer.bind(docker)
      const createContainer = async (options: Dockerode.ContainerCreateOptions) => {
        if (moves++ >= times) return create(options)
        const moved = left === 'nothing' ? hooks : join(workspace.path, '.git')
        renameSync(moved, `${moved}-away`)
        if (left !== 'nothing') writeFileSync(moved, '')
        return create(options).finally(() => {
          rmSync(moved, { force: true })
          renameSync(`${moved}-away`, moved)
        })
      }
      const engine = dockerEngine(Object.assign(docker, { createContainer }), image, 'the test')
      const spec = { ...aSpec(workspace), pinned: pins }

      const starting = engine.start(spec)

      if (succeeds) {
        const agent = await starting
        later(() => agent.stop(0))
        expect(agent.unpinned).toEqual([])
      } else {
        await expect(starting).rejects.toMatchObject({
          code: 'workspace-invalid',
          message: expect.stringContaining(`${hooks} was gone each of 10 times`),
        })
      }
      expect(moves).toBe(succeeds ? 2 : 10)
    },
  )

  test('a mount that was not asked for ends the start, and is named', async () => {
    const engine = dockerEngine(withMemoryAt('/srv', socketPath), image, 'the test')
    const spec = aSpec(aHeldWorkspace())

    await expect(engine.start(spec)).rejects.toMatchObject({
      code: 'engine-unavailable',
      message: expect.stringMatching(/\/srv is a mount \(tmpfs, \/\) that was not asked for/),
    })
    await withoutLeftovers(docker, { name: [spec.name] })
  })

  test('a container that denies one is not believed', async () => {
    const engine = dockerEngine(withMemoryAt('/srv', socketPath), image, 'the test')
    const script = reporting(
      `report.table = report.table.split('\\n').filter((line) => !line.includes(' /srv ')).join('\\n')
       report.bootId = 'of another machine'`,
      readFileSync(agentFile, 'utf8'),
    )
    const spec = { ...aSpec(aHeldWorkspace()), agentFile: aFile(script) }

    await expect(engine.start(spec)).rejects.toMatchObject({
      message: expect.stringMatching(/\/srv is a mount/),
    })
  })

  test.each([
    ['something else', `process.stdout.write('hello\\n'); process.stdin.resume()`, 'did not show'],
    ['an end', `process.stderr.write('not today\\n', () => process.exit(3))`, 'exit code 3'],
  ])('a container that answers with %s gets nothing', async (_, script, message) => {
    const spec = { ...aSpec(aHeldWorkspace()), agentFile: aFile(script) }

    await expect(local.start(spec)).rejects.toMatchObject({
      message: expect.stringContaining(message),
    })
    await withoutLeftovers(docker, { name: [spec.name] })
  })
})

// ---- helpers ----

function hold<T extends MountSource>(sources: T[]): T[] {
  later(() => releaseSources(sources))
  return sources
}

function aSpec(workspace: MountSource): AgentSpec {
  const user = process.getuid?.() === 0 ? TOOL_USER : undefined
  return {
    name: uniqueName('mounts'),
    agentFile,
    workspace,
    socketFolder: undefined,
    network: 'none',
    user: user ?? { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
  }
}

/** A workspace with all that is pinned of a repository. */
function aRepository(): MountSource {
  const workspace = aHeldWorkspace()
  layOutGit(workspace.path)
  return workspace
}

function layOutGit(workspace: string): void {
  const git = join(workspace, '.git')
  for (const folder of [git, join(git, 'hooks'), join(git, 'modules')]) mkdirSync(folder)
  writeFileSync(join(git, 'config'), `# ${workspace}\n`)
  if (process.getuid?.() !== 0) return
  for (const name of ['', 'hooks', 'modules', 'config']) {
    chownSync(join(git, name), TOOL_USER.uid, TOOL_USER.gid)
  }
}

function withPins(engine: Engine): Engine {
  return {
    ...engine,
    start(spec) {
      layOutGit(spec.workspace.path)
      return engine.start({ ...spec, pinned: hold<Pin>(pinGit(spec.workspace)) })
    },
  }
}

/** A client whose engine names processes that are not of this machine. */
function elsewhere(socketPath: string): Dockerode {
  return changed(socketPath, (container) => {
    const inspect = container.inspect.bind(container) as (options?: object) => Promise<object>
    const inspected = async (options?: object) => {
      const found = (await inspect(options)) as Dockerode.ContainerInspectInfo
      return { ...found, State: { ...found.State, Pid: 1 } }
    }
    return Object.assign(container, { inspect: inspected })
  })
}

function withMemoryAt(path: string, socketPath: string): Dockerode {
  return changed(
    socketPath,
    (container) => container,
    (options) => {
      const HostConfig = {
        ...options.HostConfig,
        Tmpfs: { ...options.HostConfig?.Tmpfs, [path]: '' },
      }
      return { ...options, HostConfig }
    },
  )
}

function changed(
  socketPath: string,
  change: (container: Dockerode.Container) => Dockerode.Container,
  changeOptions = (options: Dockerode.ContainerCreateOptions) => options,
): Dockerode {
  const docker = new Dockerode({ socketPath })
  const create = docker.createContainer.bind(docker)
  const createContainer = async (options: Dockerode.ContainerCreateOptions) =>
    change(await create(changeOptions(options)))
  return Object.assign(docker, { createContainer })
}

/** Containers of this engine are on another kernel, by their own word. */
function inMachine(engine: Engine): Engine {
  const change = `
    report.bootId = 'of another machine'
    for (const found of Object.values(report.targets)) found.identity = '9:9'`
  return {
    ...engine,
    start(spec) {
      const script = reporting(change, readFileSync(spec.agentFile, 'utf8'))
      return engine.start({ ...spec, agentFile: aFile(script) })
    },
  }
}

function aFile(source: string): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'codexbox-script-')))
  later(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'agent.cjs')
  writeFileSync(file, source)
  chmodSync(dirname(file), 0o755)
  chmodSync(file, 0o644)
  return file
}
