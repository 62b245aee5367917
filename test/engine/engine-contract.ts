import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type Dockerode from 'dockerode'
import { afterEach, expect, test } from 'vitest'
import type { AgentProcess, Engine } from '../../host/engine/engine.ts'
import { GATEWAY_URL, openGateway } from '../../host/gateway/gateway.ts'
import { demoProvider } from '../../host/outer/demo/demo-provider.ts'
import { DEMO_MODEL } from '../../host/outer/demo/responses-request.ts'
import { agentFile } from '../../host/package-root.ts'
import type { ModelConnection } from '../../host/providers/provider.ts'
import { readEvents } from '../../host/runs/read-events.ts'
import { holdSource, type MountSource, releaseSources } from '../../host/workspace/mount-source.ts'
import { CodexboxError } from '../../shared/errors.ts'
import type { FinishedEvent, HostLine, RunEvent, RunRequest } from '../../shared/protocol.ts'
import { containerScript } from '../fakes/container-script.ts'
import { someGatewayOptions } from '../fakes/gateway-options.ts'
import { aRunRequest } from '../fakes/run-request.ts'
import { uniqueName } from '../real-engine.ts'

/** Who the tools run as where they can be told apart: nobody's number. */
export const TOOL_USER = { uid: 12_345, gid: 12_345 }

const cleanups: (() => unknown)[] = []

/** Keeps in mind what is to be undone by `cleanUp`. */
export function later(undo: () => unknown): void {
  cleanups.push(undo)
}

/** Ends and removes what was made, the last first. */
export async function cleanUp(): Promise<void> {
  for (const undo of cleanups.splice(0).reverse()) await undo()
}

/** `engine` with root as the owner of each workspace, and so as the user of the tools. */
export function engineOfRoot(engine: Engine): Engine {
  return {
    name: 'docker',
    description: 'the test',
    check: () => engine.check(),
    start(spec) {
      chownSync(spec.workspace.path, 0, 0)
      return engine.start({ ...spec, user: { uid: 0, gid: 0 } })
    },
  }
}

/** A workspace that belongs to the tools, if we may give it away. */
export function aWorkspace(): string {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-workspace-'))
  later(() => rmSync(folder, { recursive: true, force: true }))
  if (process.getuid?.() === 0) chownSync(folder, TOOL_USER.uid, TOOL_USER.gid)
  return folder
}

/** The same, held as it is while a container is started. */
export function aHeldWorkspace(): MountSource {
  const held = holdSource(realpathSync(aWorkspace()))
  later(() => releaseSources([held]))
  return held
}

/** The name of an image with nothing in it. */
export async function anEmptyImage(docker: Dockerode): Promise<string> {
  const name = uniqueName('empty')
  // The end of a tar archive, and so an empty one.
  const imported = await docker.importImage(Readable.from([Buffer.alloc(1024)]) as never, {
    repo: name,
    tag: 'latest',
  })
  await once((imported as unknown as Readable).resume(), 'end')
  later(async () => void (await docker.getImage(name).remove({ force: true })))
  return name
}

/** An agent on `engine`, with a gateway to the demo. What it needs is gone after `cleanUp`. */
export async function startAgent(engine: Engine, options: { agentFile?: string } = {}) {
  const held = aHeldWorkspace()
  const workspace = held.path
  const connection = (await demoProvider({ paceMs: 0 }).connect?.()) as ModelConnection
  later(() => connection.close())
  const gateway = await openGateway(
    connection,
    someGatewayOptions({ runPolicy: { model: DEMO_MODEL } }),
  )
  later(() => gateway.close())
  const capability = gateway.grant('run')
  const name = uniqueName('agent')
  const isRoot = process.getuid?.() === 0
  const user = isRoot ? TOOL_USER : { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  const agent = await engine.start({
    name,
    agentFile: options.agentFile ?? agentFile,
    workspace: held,
    socketFolder: gateway.socketFolder,
    // Other scripts do not go there by themselves.
    ...(options.agentFile ? {} : { reached: gateway.reached }),
    network: 'none',
    user,
  })
  later(() => agent.stop(0))

  const send = (line: HostLine | RunRequest) => void agent.stdin.write(`${JSON.stringify(line)}\n`)
  let runs = 0
  const secrets = { CODEX_ACCESS_TOKEN: capability }
  /** The first prompt starts the conversation, the next ones go on with it. */
  const begin = (prompt: string) => {
    const runId = `run-${++runs}`
    if (runs > 1) return send({ type: 'prompt', runId, prompt, secrets })
    send(
      aRunRequest({
        runId,
        prompt,
        model: DEMO_MODEL,
        secrets,
        endpoint: {
          url: GATEWAY_URL,
          headers: connection.headers,
          ...(agent.view.socketPath ? { socketPath: agent.view.socketPath } : {}),
        },
        workspace: agent.view.workspace,
        ...(agent.view.toolEnvironment ? { toolEnvironment: agent.view.toolEnvironment } : {}),
        ...(agent.view.worker ? { worker: { ...agent.view.worker, isExclusive: true } } : {}),
      }),
    )
  }
  return {
    agent,
    name,
    user,
    workspace,
    held,
    capability,
    begin,
    send,
    events: readEvents(agent.stdout),
  }
}

/** The next event of a type. @throws Error when the output ends before it */
export async function until<T extends RunEvent['type']>(
  events: AsyncGenerator<RunEvent>,
  type: T,
): Promise<Extract<RunEvent, { type: T }>> {
  for (;;) {
    const { value: event, done } = await events.next()
    if (done) throw new Error(`The output ended without '${type}'`)
    if (event.type === type) return event as Extract<RunEvent, { type: T }>
  }
}

/** What every engine promises; `engine` is asked for when a test runs. */
export function testEngineContract(engine: Engine): void {
  afterEach(cleanUp)

  test('can be used', async () => {
    await engine.check()
  })

  test('a line on stdin is answered with events, and a close with the exit code 0', async () => {
    const { agent, begin, send, events, workspace } = await startAgent(engine)

    begin('run: echo "it was here" > proof.txt; cat proof.txt')
    const finished: FinishedEvent = await until(events, 'finished')
    send({ type: 'close' })

    expect(finished).toMatchObject({ status: 'done', toolCalls: 1 })
    expect(await agent.exited).toEqual({ code: 0, signal: null })
    expect(await events.next()).toEqual({ value: undefined, done: true })
    expect(readdirSync(workspace)).toEqual(['proof.txt'])
  })

  test('stop(0) ends it within a second, whatever it does', async () => {
    const { agent, begin, events } = await startAgent(engine)
    begin('run: trap "" TERM; sleep 600')
    await until(events, 'tool.started')

    const stoppedAt = performance.now()
    const stopped = agent.stop(0)
    const exit = await agent.exited

    expect(performance.now() - stoppedAt).toBeLessThan(1000)
    expect(exit).not.toMatchObject({ code: 0 })
    await stopped
  })

  test('stop(5000) lets a run end in good order', async () => {
    const { agent, begin, events } = await startAgent(engine)
    begin('run: sleep 600')
    await until(events, 'tool.started')

    const finished = until(events, 'finished')
    await agent.stop(5000)

    expect(await finished).toMatchObject({ status: 'interrupted', toolCalls: 1 })
    expect(await agent.exited).toEqual({ code: 0, signal: null })
  })

  test('stop(5000) ends within 6 s also a run whose tool ignores it', async () => {
    const { agent, begin, events } = await startAgent(engine)
    begin('run: trap "" TERM INT HUP; while :; do sleep 1; done')
    await until(events, 'tool.started')

    const stoppedAt = performance.now()
    const finished = until(events, 'finished')
    await agent.stop(5000)

    expect(performance.now() - stoppedAt).toBeLessThan(6000)
    expect(await finished).toMatchObject({ status: 'interrupted' })
  })

  test('stop may be called often, also at once and afterwards', async () => {
    const { agent } = await startAgent(engine)

    await Promise.all([agent.stop(1000), agent.stop(0), agent.stop(0)])
    await agent.stop(0)

    await agent.exited
  })

  test('the end of stdin makes it leave, in the middle of a run', async () => {
    const { agent, begin, events } = await startAgent(engine)
    begin('run: sleep 600')
    await until(events, 'tool.started')

    agent.stdin.end()

    expect(await agent.exited).toEqual({ code: 0, signal: null })
  })

  test('an end that nobody asked for is told with its exit code and its last words', async () => {
    const { agent } = await startAgent(engine, {
      agentFile: aScript(`process.stdin.once('data', () =>
        process.stderr.write('x'.repeat(10_000) + 'the last words\\n', () => process.exit(3)))`),
    })
    agent.stdin.write('end\n')

    await outputEnd(agent)

    expect(await agent.exited).toEqual({ code: 3, signal: null })
    expect(agent.stderrTail()).toMatch(/^x{4000,}the last words$/)
    expect(agent.stderrTail().length).toBeLessThanOrEqual(4096)
  })

  test('an end as soon as it has begun is told with its exit code, during the start or after', async () => {
    const agentFile = aScript(`process.stderr.write('last words\\n', () => process.exit(3))`)

    const exit = await startAgent(engine, { agentFile }).then(
      ({ agent }) => agent.exited,
      (error: unknown) => error,
    )

    if (exit instanceof CodexboxError) {
      expect(exit).toMatchObject({ code: 'container-lost' })
      expect(exit.message).toContain('exit code 3. Its last words: last words')
    } else {
      expect(exit).toEqual({ code: 3, signal: null })
    }
  })

  test('output that is written just before the end is not lost', async () => {
    const { agent } = await startAgent(engine, {
      agentFile: aScript(`
        process.stdout.write('a'.repeat(3_000_000) + 'end', () => process.exit(0))`),
    })

    let bytes = 0
    let last = ''
    for await (const chunk of agent.stdout) {
      bytes += chunk.length
      last = String(chunk).slice(-3)
    }

    expect({ bytes, last }).toEqual({ bytes: 3_000_003, last: 'end' })
    expect(await agent.exited).toEqual({ code: 0, signal: null })
  })

  test('writing to one that is gone harms nobody', async () => {
    const { agent, send } = await startAgent(engine)
    await agent.stop(0)

    for (let i = 0; i < 3; i++) {
      send({ type: 'message', text: 'x'.repeat(100_000) })
      await new Promise((resolve) => setImmediate(resolve))
    }

    await agent.exited
  })
}

/** A script in the place of the agent's. As a relay it is the usual one. */
export function aScript(source: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-script-'))
  later(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'agent.cjs')
  const relay = readFileSync(agentFile, 'utf8')
  writeFileSync(
    file,
    `if (process.argv[2] === 'relay') {\n${relay}\n} else {\n${containerScript(source)}\n}`,
  )
  chmodSync(folder, 0o755)
  return file
}

async function outputEnd({ stdout }: AgentProcess): Promise<void> {
  stdout.resume()
  if (!stdout.readableEnded) await once(stdout, 'end')
}
