import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type Dockerode from 'dockerode'
import type { ContainerCreateOptions } from 'dockerode'
import { afterAll, afterEach, expect, test } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import { settingsIn } from '../../host/engine/image-settings.ts'
import { optionsForRootless } from '../../host/engine/rootless.ts'
import { containerOptions, inside } from '../../host/engine/sandbox-policy.ts'
import { policyDeviations } from '../../host/engine/verify-policy.ts'
import { openConversation } from '../../host/open-conversation.ts'
import { agentFile } from '../../host/package-root.ts'
import { someSource } from '../fakes/container-script.ts'
import { startModelServer, textAnswer } from '../fakes/model-server.ts'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'
import {
  aWorkspace,
  cleanUp,
  later,
  startAgent,
  TOOL_USER,
  testEngineContract,
  until,
} from './engine-contract.ts'
import { startHost } from './host-process.ts'

const isRoot = process.getuid?.() === 0
const canBeOthers = isRoot && spawnSync('setpriv', ['--version']).status === 0
const MiB = 1024 * 1024

/** Engines have several ways to say it. */
const nothing = expect.toSatisfy((value: object | null) => Object.keys(value ?? {}).length === 0)

const TOOL_CAPS = 'KILL,SETGID,SETUID'
/** Newer engines spell capabilities with a prefix. */
const bare = (cap: string) => cap.replace(/^CAP_/, '')

describeWithEngine('the docker engine', ({ docker, image, source, isPodman, isRootless }) => {
  const engine = dockerEngine(docker, image, source)
  const folders: string[] = []

  afterEach(async () => {
    await cleanUp()
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
  })
  afterAll(() => withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] }))

  /** A folder of ours, gone after the test. */
  function aFolder(): string {
    const folder = mkdtempSync(join(tmpdir(), 'codexbox-engine-'))
    folders.push(folder)
    return folder
  }

  testEngineContract(engine)

  test('a path that could be read as two is that folder, or nothing is started', async () => {
    const elsewhere = aFolder()
    const workspace = join(aFolder(), `a,source=${elsewhere}`)
    mkdirSync(workspace, { recursive: true })
    if (isRoot) for (const folder of [elsewhere, workspace]) chownSync(folder, 12_345, 12_345)
    const run = openConversation({
      workspace,
      settings: { provider: 'demo', engine: 'docker', image, dataDir: aFolder() },
    }).then((conversation) => {
      later(() => conversation.close())
      return conversation.run('run: touch here').result
    })

    const { status, error } = await run

    expect(readdirSync(elsewhere)).toEqual([])
    if (status === 'done') return expect(readdirSync(workspace)).toEqual(['here'])
    expect(error).toMatchObject({
      code: 'engine-unavailable',
      message: expect.stringContaining('There is a comma in the path'),
    })
  })

  test('a container that runs deviates from what was asked for in nothing', async () => {
    const { name } = await startAgent(engine)

    const inspected = await docker.getContainer(name).inspect()

    // The three folders are told by where they are in the container.
    const socketFolder = '/any'
    const user = { uid: 1000, gid: 1000 }
    const spec = {
      name,
      agentFile,
      workspace: someSource('/any'),
      socketFolder,
      network: 'none' as const,
    }
    const settings = settingsIn(await docker.getImage(image).inspect())
    const usual = containerOptions({ ...spec, user }, image, settings)
    const asked = isRootless ? optionsForRootless(usual) : usual
    expect(policyDeviations(inspected, asked)).toEqual([])
  })

  test.each([
    ['CapDrop', { CapDrop: [] }],
    ['CapAdd', { CapAdd: ['SETUID', 'SETGID', 'KILL', 'SYS_PTRACE'] }],
    ['NetworkMode', { NetworkMode: 'bridge' }],
    ['ReadonlyRootfs', { ReadonlyRootfs: false }],
    ['SecurityOpt', { SecurityOpt: [] }],
    ['PidsLimit', { PidsLimit: 0 }],
    ['LogConfig', { LogConfig: { Type: 'json-file', Config: {} } }],
  ])(
    'an engine that does not honour %s is refused, and nothing runs or is left',
    async (field, instead) => {
      const careless = Object.create(docker) as typeof docker
      careless.createContainer = (options: ContainerCreateOptions) =>
        docker.createContainer({ ...options, HostConfig: { ...options.HostConfig, ...instead } })

      const error = await startAgent(dockerEngine(careless, image, source)).catch((e: unknown) => e)

      expect(error).toMatchObject({
        code: 'engine-unavailable',
        message: expect.stringMatching(
          new RegExp(`weaker than .*: ${field} is .* instead of .*Nothing was started`),
        ),
      })
      await withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] })
    },
  )

  test.skipIf(isPodman)(
    "the container is, by Docker's own account, exactly what the policy says",
    async () => {
      const { name, workspace } = await startAgent(engine)

      const { Config, HostConfig, Mounts, NetworkSettings, Path, Args } = await docker
        .getContainer(name)
        .inspect()

      expect(HostConfig).toMatchObject({
        CapDrop: ['ALL'],
        CapAdd: expect.toSatisfy((caps: string[]) => String(caps.map(bare).sort()) === TOOL_CAPS),
        SecurityOpt: ['no-new-privileges'],
        Privileged: false,
        NetworkMode: 'none',
        PortBindings: nothing,
        PidMode: '',
        IpcMode: 'private',
        UTSMode: '',
        UsernsMode: '',
        CgroupnsMode: 'private',
        Binds: nothing,
        VolumesFrom: nothing,
        Devices: nothing,
        DeviceRequests: nothing,
        ReadonlyRootfs: true,
        Init: true,
        PidsLimit: 512,
        Memory: 2048 * MiB,
        MemorySwap: 2048 * MiB,
        CpuPeriod: 100_000,
        CpuQuota: 200_000,
        OomScoreAdj: 500,
        Ulimits: [
          { Name: 'core', Soft: 0, Hard: 0 },
          { Name: 'nofile', Soft: 4096, Hard: 4096 },
        ],
        LogConfig: { Type: 'none', Config: {} },
        AutoRemove: true,
        RestartPolicy: { Name: 'no' },
      })
      expect(HostConfig.MaskedPaths).toContain('/proc/kcore')
      expect(HostConfig.ReadonlyPaths).toContain('/proc/sys')
      expect(
        Mounts.map(({ Source, Destination, RW }) => ({ Source, Destination, RW })).sort((a, b) =>
          a.Destination < b.Destination ? -1 : 1,
        ),
      ).toEqual([
        ...['group', 'passwd'].map((name) => ({
          Source: expect.stringMatching(`^${tmpdir()}.*/${name}$`),
          Destination: `/etc/${name}`,
          RW: false,
        })),
        { Source: agentFile, Destination: inside.agentFile, RW: false },
        { Source: expect.stringContaining(tmpdir()), Destination: inside.socketFolder, RW: false },
        { Source: workspace, Destination: inside.workspace, RW: true },
      ])
      expect(Object.keys(NetworkSettings.Networks)).toEqual(['none'])
      expect(Config).toMatchObject({ User: '0:0', Tty: false, OpenStdin: true, StdinOnce: true })
      expect([Path, ...Args].slice(0, 4)).toEqual([
        'node',
        inside.agentFile,
        'agent',
        inside.socketPath,
      ])
    },
  )

  test('no capability is in what the engine keeps about the container', async () => {
    const { name, capability, begin, events } = await startAgent(engine)
    begin('run: true')
    await until(events, 'finished')

    const kept = JSON.stringify(await docker.getContainer(name).inspect())

    expect(kept).not.toContain(capability)
  })

  // ---- it goes ----

  test('the container is gone when it was stopped, in either way', async () => {
    for (const graceMs of [0, 5000]) {
      const { agent, name } = await startAgent(engine)

      await agent.stop(graceMs)

      expect(await stateOf(docker, name), `after stop(${graceMs})`).toBe('gone')
    }
  })

  test('the container is gone after a conversation, and its session is kept', async () => {
    const dataDir = aFolder()
    const conversation = await openConversation({
      workspace: aWorkspace(),
      settings: { provider: 'demo', engine: 'docker', image, dataDir },
    })
    const result = await conversation.run('run: true').result
    const name = `codexbox-${result.runId}`
    const during = await stateOf(docker, name)

    await conversation.close()

    expect(result.status).toBe('done')
    expect([during, await stateOf(docker, name)]).toEqual(['running', 'gone'])
    expect(readdirSync(join(dataDir, 'sessions'))).toEqual([`${conversation.session}.jsonl`])
  })

  test('the container is gone within 10 s after the host was killed in the middle of a run', async () => {
    const host = startHost(
      {
        prompt: 'run: sleep 600',
        workspace: aWorkspace(),
        settings: { provider: 'demo', engine: 'docker', image, dataDir: aFolder() },
      },
      // It will have no chance to clean up.
      { env: { TMPDIR: aFolder() } },
    )
    const { runId } = await host.until('tool.started')
    const container = docker.getContainer(`codexbox-${runId}`)
    expect(await stateOf(docker, container.id)).toBe('running')
    const removed = container.wait({ condition: 'removed' })

    const killedAt = performance.now()
    host.child.kill('SIGKILL')
    await removed.catch(() => {}) // It may have gone before the question came.

    expect(performance.now() - killedAt).toBeLessThan(10_000)
    expect(await stateOf(docker, container.id)).toBe('gone')
  })

  // ---- whose files ----

  test.runIf(isRoot)('started by root, files belong to the owner of the workspace', async () => {
    const workspace = aWorkspace()
    const conversation = await openConversation({
      workspace,
      settings: { provider: 'demo', engine: 'docker', image, dataDir: aFolder() },
    })
    await conversation.run('run: mkdir -p made && echo hi > made/file && id > made/id').result
    await conversation.close()

    expect(ownersIn(workspace)).toEqual([
      ['made', TOOL_USER],
      ['made/file', TOOL_USER],
      ['made/id', TOOL_USER],
    ])
    expect(readFileSync(join(workspace, 'made/id'), 'utf8')).toBe(
      'uid=12345(agent) gid=12345(agent) groups=12345(agent)\n',
    )
  })

  test.runIf(canBeOthers)(
    'started by a plain user in the group of the socket, files belong to that user',
    async () => {
      const user = { uid: 23_456, gid: 23_457 }
      const [workspace, home] = [aFolder(), aFolder()]
      for (const folder of [workspace, home]) chownSync(folder, user.uid, user.gid)
      const host = startHost(
        {
          prompt: 'run: echo hi > file && id > id',
          workspace,
          settings: { provider: 'demo', engine: 'docker', image, dataDir: join(home, 'data') },
        },
        {
          as: asUser(user, [statSync(socketOf(docker)).gid]),
          env: { HOME: home, TMPDIR: home, DOCKER_HOST: `unix://${socketOf(docker)}` },
        },
      )

      expect(await host.until('finished')).toMatchObject({ status: 'done' })
      expect(await host.ended()).toBe(0)
      expect(ownersIn(workspace)).toEqual([
        ['file', user],
        ['id', user],
      ])
      expect(readFileSync(join(workspace, 'id'), 'utf8')).toBe(
        'uid=23456(agent) gid=23457(agent) groups=23457(agent)\n',
      )
    },
  )

  test.runIf(canBeOthers)('who may not use the engine is told what to do about it', async () => {
    const [workspace, home] = [aFolder(), aFolder()]
    for (const folder of [workspace, home]) chownSync(folder, 23_456, 23_457)
    const host = startHost(
      {
        prompt: 'hello',
        workspace,
        settings: { provider: 'demo', engine: 'docker', image, dataDir: join(tmpdir(), 'none') },
      },
      {
        as: asUser({ uid: 23_456, gid: 23_457 }, []),
        env: { HOME: home, TMPDIR: home, DOCKER_HOST: `unix://${socketOf(docker)}` },
      },
    )

    expect(await host.until('refused')).toMatchObject({
      code: 'engine-unavailable',
      message: expect.stringMatching(/EACCES.*join the group/),
    })
  })

  // ---- the other mode ----

  test('direct, with an open network, the agent asks the service itself', async (context) => {
    if (isRootless) return context.skip('from its network, this machine is not to be reached')
    const address = await bridgeGateway(docker)
    const model = await startModelServer([textAnswer('Straight from the service.')])
    const { port } = new URL(model.endpoint.url)
    const forward = await forwardFrom(address, Number(port)).catch(() => undefined)
    if (!forward) return context.skip(`the engine's network (${address}) is not on this machine`)
    const conversation = await openConversation({
      workspace: aWorkspace(),
      settings: {
        provider: 'openai',
        openaiApiKey: 'sk-canary',
        openaiBaseUrl: new URL(`http://${address}:${forward.port}/v1`),
        credentials: 'direct',
        network: 'open',
        engine: 'docker',
        image,
        dataDir: aFolder(),
      },
    })

    const result = await conversation.run('hello').result
    const { HostConfig, Mounts } = await docker.getContainer(`codexbox-${result.runId}`).inspect()
    await conversation.close()
    forward.close()
    await model.close()

    expect(result).toMatchObject({ status: 'done', text: 'Straight from the service.' })
    expect(model.requests.map((request) => request.header('authorization'))).toEqual([
      'Bearer sk-canary',
    ])
    expect(HostConfig.NetworkMode).toBe('bridge')
    expect(Mounts.map(({ Destination }) => Destination).sort()).toEqual([
      inside.agentFile,
      inside.workspace,
    ])
  })
})

// ---- helpers ----

async function stateOf(docker: Dockerode, name: string): Promise<string> {
  try {
    return (await docker.getContainer(name).inspect()).State.Status
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode === 404) return 'gone'
    throw error
  }
}

function ownersIn(folder: string): [path: string, owner: { uid: number; gid: number }][] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((path) => {
      const { uid, gid } = statSync(join(folder, path))
      return [path, { uid, gid }]
    })
}

function asUser({ uid, gid }: { uid: number; gid: number }, groups: number[]): string[] {
  const more = groups.length > 0 ? `--groups=${groups.join(',')}` : '--clear-groups'
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, more]
}

function socketOf(docker: Dockerode): string {
  return (docker.modem as unknown as { socketPath: string }).socketPath
}

/** Where containers on the default network find the machine of the engine. */
async function bridgeGateway(docker: Dockerode): Promise<string> {
  const [config] = (await docker.getNetwork('bridge').inspect()).IPAM?.Config ?? []
  // Unless it was set, the engine does not say it: it is the first address then.
  return config?.Gateway ?? config?.Subnet?.replace(/\d+\/\d+$/, '1') ?? ''
}

/** Makes a port of the loopback interface one of `address`. Rejects when that is not this machine. */
async function forwardFrom(address: string, port: number) {
  const server = net.createServer((socket) => {
    const target = net.connect(port, '127.0.0.1')
    socket.pipe(target).pipe(socket)
    socket.on('error', () => target.destroy())
    target.on('error', () => socket.destroy())
  })
  server.listen(0, address)
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, close: () => server.close() }
}
