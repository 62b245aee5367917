import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Dockerode from 'dockerode'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import type { Engine } from '../../host/engine/engine.ts'
import { inside } from '../../host/engine/sandbox-policy.ts'
import { whySocketsAreNotShared } from '../../host/engine/socket-or-relay.ts'
import { GATEWAY_URL } from '../../host/gateway/gateway.ts'
import { openConversation } from '../../host/open-conversation.ts'
import { DEMO_MODEL } from '../../host/outer/demo/responses-request.ts'
import { attack } from '../../host/outer/doctor/attack/attack.ts'
import { diagnose } from '../../host/outer/doctor/diagnose.ts'
import { EGRESS_SOCKET } from '../../host/outer/egress/open-egress-proxy.ts'
import { agentFile } from '../../host/package-root.ts'
import { frameHead } from '../../shared/frames.ts'
import { certificate, type EgressBench, openEgressBench, SERVICE } from '../egress/egress-bench.ts'
import { containerScript } from '../fakes/container-script.ts'
import { startModelServer, textAnswer } from '../fakes/model-server.ts'
import { aRunRequest } from '../fakes/run-request.ts'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'
import {
  anEmptyImage,
  aWorkspace,
  cleanUp,
  later,
  startAgent,
  testEngineContract,
  until,
} from './engine-contract.ts'
import { type EngineProxy, startEngineProxy } from './engine-proxy.ts'
import { startHost } from './host-process.ts'

const LONG_MS = 180_000

const isRoot = process.getuid?.() === 0

describe('where sockets are not shared is known without trying', () => {
  const at = (options: Dockerode.DockerOptions, platform: NodeJS.Platform = 'linux') =>
    whySocketsAreNotShared(new Dockerode({ host: undefined, ...options }), platform)

  test.each<[what: string, options: Dockerode.DockerOptions, platform?: NodeJS.Platform]>([
    ['over tcp', { socketPath: undefined, host: '127.0.0.1', port: 2375, protocol: 'http' }],
    ['over ssh', { socketPath: undefined, host: 'example', port: 22, protocol: 'ssh' }],
    ['of a virtual machine on a Mac', { socketPath: '/var/run/docker.sock' }, 'darwin'],
    ['of a virtual machine on Windows', { socketPath: '//./pipe/docker_engine' }, 'win32'],
    ['of Docker Desktop on Linux', { socketPath: '/home/ada/.docker/desktop/docker.sock' }],
  ])('for an engine %s', (_, options, platform) => {
    expect(at(options, platform)).toMatch(/^the engine /)
  })

  test('and has to be tried with any other', () => {
    expect(at({ socketPath: '/var/run/docker.sock' })).toBeUndefined()
  })
})

describeWithEngine('an engine that is reached over the network', (real) => {
  const { docker, image, source } = real
  let proxy: EngineProxy
  let remote: Dockerode
  let engine: Engine
  const { socketPath } = docker.modem as unknown as { socketPath: string }
  const dockerHost = () => `tcp://127.0.0.1:${proxy.port}`

  beforeAll(async () => {
    proxy = await startEngineProxy(socketPath)
    remote = new Dockerode({ host: '127.0.0.1', port: proxy.port, protocol: 'http' })
    engine = dockerEngine(remote, image, 'the test')
  })
  afterEach(async () => {
    vi.unstubAllEnvs()
    await cleanUp()
  })
  afterAll(async () => {
    await proxy.close()
    await withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] })
  })

  function aDataDir(): string {
    const folder = mkdtempSync(join(tmpdir(), 'codexbox-relay-'))
    later(() => rmSync(folder, { recursive: true, force: true }))
    return join(folder, 'data')
  }

  describe('keeps the promises of any other', () => {
    testEngineContract({
      name: 'docker',
      description: 'the test',
      check: () => engine.check(),
      start: (spec) => engine.start(spec),
    })
  })

  test('gets no socket mounted, and has a relay instead', async () => {
    const { agent, name } = await startAgent(engine)

    const { Mounts } = await docker.getContainer(name).inspect()

    expect(agent.relayed).toEqual({
      because: expect.stringContaining('another machine'),
      isUnexpected: false,
    })
    expect(agent.view.socketPath).toBe('@codexbox/gateway.sock')
    expect(
      Mounts.filter(({ Type }) => Type === 'bind')
        .map(({ Destination }) => Destination)
        .sort(),
    ).toEqual([inside.agentFile, inside.workspace])
  })

  test('does a whole conversation, without a word about it', async () => {
    vi.stubEnv('DOCKER_HOST', dockerHost())
    const workspace = aWorkspace()
    const conversation = await openConversation({
      workspace,
      settings: { provider: 'demo', engine: 'docker', image, dataDir: aDataDir() },
    })
    later(() => conversation.close())

    const types: string[] = []
    for (const prompt of ['run: echo one > one', 'run: echo two > two']) {
      const run = conversation.run(prompt)
      for await (const { type } of run) types.push(type)
      expect(await run.result).toMatchObject({ status: 'done', toolCalls: 1 })
    }

    expect(readdirSync(workspace).sort()).toEqual(['one', 'two'])
    expect(types).not.toContain('notice')
    expect(types).not.toContain('retry')
  })

  test('lets tools go to the listed hosts and nowhere else', async () => {
    let bench: EgressBench | undefined
    const started = await startAgent({
      ...engine,
      async start(spec) {
        const folder = spec.socketFolder ?? ''
        bench = await openEgressBench({ allow: [SERVICE], folder })
        later(() => bench?.close())
        return engine.start({ ...spec, network: { allow: [SERVICE] } })
      },
    })
    const { agent, capability, workspace, events } = started
    const { socketPath = '', worker } = agent.view
    writeFileSync(join(workspace, 'ca.pem'), certificate)

    started.send(
      aRunRequest({
        runId: 'run-1',
        prompt: `run: { curl -sS --cacert ca.pem https://${SERVICE}/by-curl; curl -sS https://evil.example/; } > printed 2>&1`,
        model: DEMO_MODEL,
        secrets: { CODEX_ACCESS_TOKEN: capability },
        endpoint: { url: GATEWAY_URL, socketPath },
        workspace: agent.view.workspace,
        egressSocketPath: socketPath.replace(/[^/]+$/, EGRESS_SOCKET),
        ...(worker ? { worker } : {}),
      }),
    )
    await until(events, 'finished')

    const printed = readFileSync(join(workspace, 'printed'), 'utf8')
    expect(printed).toContain('served /by-curl')
    expect(printed).toContain('403')
    expect(bench?.served).toEqual(['/by-curl'])
  })

  test.each([
    ['an ordinary user', 1000],
    ['root', 0],
  ])(
    'keeps tools from the relay: its memory, pipes, signals and sockets; as %s',
    async (_, uid) => {
      const { begin, events, workspace } = await startAgent({
        ...engine,
        start(spec) {
          if (isRoot) chownSync(spec.workspace.path, uid, uid)
          return engine.start(isRoot ? { ...spec, user: { uid, gid: uid } } : spec)
        },
      })
      writeFileSync(join(workspace, 'try.cjs'), TRY)

      begin('run: node try.cjs')
      await until(events, 'finished')

      expect(JSON.parse(readFileSync(join(workspace, 'tried'), 'utf8'))).toEqual({
        relays: 1,
        'can be connected with': 'opened',
        environ: 'EACCES',
        mem: 'EACCES',
        'fd/0': 'EACCES',
        'fd/1': 'EACCES',
        signal: 'EPERM',
        'another in its place': 'EADDRINUSE',
      })
    },
  )

  test(
    'gives a hostile tool nothing: no secret, no way out, no forged event',
    async () => {
      vi.stubEnv('DOCKER_HOST', dockerHost())

      const { results, leaked } = await attack({ credentials: 'sealed', config: { image } })

      const theft = results.filter(({ area }) => area === 'theft')
      expect(theft).toHaveLength(12)
      expect(results.filter(({ outcome }) => outcome === 'not-held')).toEqual([])
      // The gateway was there to be asked, and the memory of the relay to be read.
      for (const id of ['A12', 'F13a']) {
        expect(results.find((result) => result.id === id)?.outcome).toBe('held')
      }
      expect(leaked).toEqual({ bytes: 0, places: [] })
    },
    LONG_MS,
  )

  test('ends a run as lost when the relay dies in the middle of an answer', async () => {
    vi.stubEnv('DOCKER_HOST', dockerHost())
    const model = await startModelServer([
      { ...textAnswer('Half of this.'), bytes: 150, fault: 'stall' },
    ])
    later(() => model.close())
    const conversation = await openConversation({
      workspace: aWorkspace(),
      settings: {
        provider: 'openai',
        openaiApiKey: 'sk-canary',
        openaiBaseUrl: new URL('.', model.endpoint.url),
        engine: 'docker',
        image,
        dataDir: aDataDir(),
      },
    })
    later(() => conversation.close())
    const run = conversation.run('hello')
    while (model.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 20))
    const container = docker.getContainer(`codexbox-${run.id}`)

    const killedAt = performance.now()
    await inContainer(container, ['node', '-e', KILL_RELAY])
    const result = await run.result

    expect(result).toMatchObject({
      status: 'failed',
      error: { code: 'container-lost', message: expect.stringContaining('the relay') },
    })
    expect(performance.now() - killedAt).toBeLessThan(15_000)
    // Not waited for before the run ends; the test's own time limit is the bound.
    // Asked for again and again: Podman gives no answer on one that goes while it is waited for.
    const answer = () => container.inspect().catch((error) => error.statusCode)
    await expect.poll(answer, { timeout: 15_000, interval: 200 }).toBe(404)
  })

  test('ends a run as lost when the engine dies, and the container goes', async () => {
    const dying = await startEngineProxy(socketPath)
    later(() => dying.close())
    vi.stubEnv('DOCKER_HOST', `tcp://127.0.0.1:${dying.port}`)
    const conversation = await openConversation({
      workspace: aWorkspace(),
      settings: { provider: 'demo', engine: 'docker', image, dataDir: aDataDir() },
    })
    later(() => conversation.close())
    const run = conversation.run('run: sleep 600')
    for await (const { type } of run) if (type === 'tool.started') break

    const cutAt = performance.now()
    dying.cut()

    expect(await run.result).toMatchObject({
      status: 'failed',
      error: { code: 'container-lost' },
    })
    expect(performance.now() - cutAt).toBeLessThan(15_000)
    await docker
      .getContainer(`codexbox-${run.id}`)
      .wait({ condition: 'removed' })
      .catch(() => {})
  })

  test('leaves no container when the host is killed', async () => {
    const host = startHost(
      {
        prompt: 'run: sleep 600',
        workspace: aWorkspace(),
        settings: { provider: 'demo', engine: 'docker', image, dataDir: aDataDir() },
      },
      { env: { DOCKER_HOST: dockerHost(), TMPDIR: join(aDataDir(), '..') } },
    )
    later(() => host.child.kill('SIGKILL'))
    const { runId } = await host.until('tool.started')
    const removed = docker.getContainer(`codexbox-${runId}`).wait({ condition: 'removed' })

    const killedAt = performance.now()
    host.child.kill('SIGKILL')
    await removed.catch(() => {}) // It may have gone before the question came.

    expect(performance.now() - killedAt).toBeLessThan(10_000)
  })

  // ---- relays that are not ours ----

  const READY = frameHead('ready', 0, 0).toString('hex')

  test.each<[what: string, hex: string, message: string]>([
    ['nonsense', Buffer.from('this is no frame').toString('hex'), 'unknown kind'],
    [
      'a connection to a place there is not',
      frameHead('open', 1, 1).toString('hex'),
      'the place 1',
    ],
    ['endless credit', frameHead('credit', 1, 2 ** 31).toString('hex'), 'never opened'],
  ])('ends a container whose relay sends %s', async (_, hex, message) => {
    const { agent } = await startAgent(engine, {
      agentFile: aScript(`
        process.stdin.resume()
        if (process.argv[2] === 'relay') {
          process.stdout.write(Buffer.from('${READY}', 'hex'))
          setTimeout(() => process.stdout.write(Buffer.from('${hex}', 'hex')), 300)
        }
      `),
    })

    expect(await agent.exited).toMatchObject({
      error: { code: 'protocol-violation', message: expect.stringContaining(message) },
    })
  })

  test('is not to be used where the relay does not start, which is told', async () => {
    const failing = aScript(`
      process.stdin.resume()
      if (process.argv[2] === 'relay') { console.error('not here'); process.exit(3) }
    `)

    await expect(startAgent(engine, { agentFile: failing })).rejects.toMatchObject({
      code: 'engine-unavailable',
      message: expect.stringMatching(
        /a relay was started in it .*the test.* its last words: "not here"\. Try again/,
      ),
    })
    await withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] })
  })

  test('tells of an image without node what it is, not that there is no relay', async () => {
    const name = await anEmptyImage(docker)

    const code = await startAgent(dockerEngine(remote, name, 'the test')).then(
      async ({ agent }) => {
        agent.stdout.resume()
        const exit = await agent.exited
        await agent.stop(0)
        return 'error' in exit ? exit.error?.code : exit
      },
      (error) => error.code,
    )

    expect(code).toBe('image-unusable')
  })

  test('is told by the doctor, with the reason', async () => {
    const env = { ...process.env, DOCKER_HOST: dockerHost(), AGENT_IMAGE: image }

    const diagnosis = await diagnose({ env, offline: true, deadlineMs: 60_000 })

    expect(diagnosis.find(({ check }) => check === 'sandbox')).toMatchObject({
      level: 'ok',
      message: expect.stringMatching(/reaches us by a relay, since the engine may be on another/),
    })
  })

  // ---- an engine that seems to share sockets ----

  test('a mounted folder that leads nowhere is found out, once', async () => {
    const empty = mkdtempSync(join(tmpdir(), 'codexbox-empty-'))
    later(() => rmSync(empty, { recursive: true, force: true }))
    const elsewhere = Object.create(docker) as typeof docker
    elsewhere.createContainer = (options: Dockerode.ContainerCreateOptions) => {
      const Mounts = options.HostConfig?.Mounts?.map((mount) =>
        mount.Target === inside.socketFolder ? { ...mount, Source: empty } : mount,
      )
      return docker.createContainer({ ...options, HostConfig: { ...options.HostConfig, Mounts } })
    }
    const misled = dockerEngine(elsewhere, image, source)

    const first = await startAgent(misled)
    first.begin('run: true')
    const end = await until(first.events, 'finished')
    const startedAt = performance.now()
    const second = await startAgent(misled)

    expect(first.agent.relayed).toEqual({
      because: expect.stringContaining('nothing came through the socket'),
      isUnexpected: true,
    })
    expect(end).toMatchObject({ status: 'done' })
    expect(second.agent.relayed).toMatchObject({ isUnexpected: false })
    expect(performance.now() - startedAt).toBeLessThan(20_000)
  })

  test('a mounted socket is used where the agent was only slow to start', async () => {
    const local = dockerEngine(docker, image, source)
    const { agent } = await startAgent({
      ...local,
      start(spec) {
        chmodSync(spec.workspace.path, 0o755)
        copyFileSync(agentFile, join(spec.workspace.path, 'agent.cjs'))
        return local.start({ ...spec, agentFile: aScript(SLOW_AGENT) })
      },
    })

    expect(agent.relayed).toBeUndefined()
    expect(agent.view.socketPath).toBe(inside.socketPath)
  })
})

/** A script in the place of the agent's. */
function aScript(source: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-script-'))
  later(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'agent.cjs')
  writeFileSync(file, containerScript(source), { mode: 0o644 })
  return file
}

async function inContainer(container: Dockerode.Container, Cmd: string[]): Promise<void> {
  const exec = await container.exec({ Cmd, User: '0:0', AttachStdout: true })
  const stream = await exec.start({})
  stream.resume()
  await once(stream, 'end')
}

/** Root may do so in there, having the right to end the tools. */
const KILL_RELAY = `
const fs = require('node:fs')
for (const pid of fs.readdirSync('/proc').filter(Number)) {
  try {
    if (/agent.cjs.relay/.test(fs.readFileSync('/proc/' + pid + '/cmdline'))) process.kill(pid, 'SIGKILL')
  } catch {}
}
`

/** Runs as a tool. */
const TRY = `
const fs = require('node:fs')
const net = require('node:net')
const tried = {}
const attempt = (what, act) => {
  try { act(); tried[what] = 'opened' } catch (error) { tried[what] = error.code }
}
const cmdline = (pid) => { try { return String(fs.readFileSync('/proc/' + pid + '/cmdline')) } catch { return '' } }
const relays = fs.readdirSync('/proc').filter((pid) => /agent.cjs.relay/.test(cmdline(pid)))
tried.relays = relays.length
const { O_RDONLY, O_WRONLY, O_NONBLOCK } = fs.constants
const at = '/proc/' + relays[0]
const socket = '\\0codexbox/gateway.sock'
attempt('environ', () => fs.readFileSync(at + '/environ'))
attempt('mem', () => fs.openSync(at + '/mem', 'r'))
attempt('fd/0', () => fs.openSync(at + '/fd/0', O_RDONLY | O_NONBLOCK))
attempt('fd/1', () => fs.openSync(at + '/fd/1', O_WRONLY | O_NONBLOCK))
attempt('signal', () => process.kill(Number(relays[0]), 0))
const other = net.createServer().on('error', (error) => {
  tried['another in its place'] = error.code
  const client = net.connect(socket, () => {
    tried['can be connected with'] = 'opened'
    fs.writeFileSync('tried', JSON.stringify(tried))
    process.exit()
  })
})
other.listen(socket)
`

/** Comes when it has been given up, just before the relay is ready. */
const SLOW_AGENT = `
const fs = require('node:fs')
process.stdin.resume()
const when = (file, act) => {
  if (fs.existsSync(file)) act()
  else setTimeout(when, 5, file, act)
}
if (process.argv[2] === 'relay') {
  fs.writeFileSync('/tmp/relay', '')
  when('/tmp/agent', () => require('/workspace/agent.cjs'))
} else {
  const came = () => fs.writeFileSync('/tmp/agent', '')
  when('/tmp/relay', () => require('node:net').connect(process.argv[3], came))
}
`
