import { once } from 'node:events'
import { chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Dockerode from 'dockerode'
import { afterAll, afterEach, expect, test } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import { openConversation } from '../../host/open-conversation.ts'
import { agentFile } from '../../host/package-root.ts'
import type { Conversation } from '../../host/runs/conversation.ts'
import { type Home, openHome } from '../cli/cli-process.ts'
import { derivedImages } from '../derived-images.ts'
import { aHeldWorkspace, aWorkspace, cleanUp, later, TOOL_USER } from '../engine/engine-contract.ts'
import { describeWithEngine, uniqueName, withoutLeftovers } from '../real-engine.ts'

const LONG_MS = 120_000

describeWithEngine('in a real container,', ({ docker, image, isPodman }) => {
  const images = derivedImages(docker, image)
  const socketPath = (docker.modem as unknown as { socketPath: string }).socketPath

  afterEach(cleanUp)
  afterAll(() => withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] }))

  async function open(
    given: { image?: string; workspace?: string; toolMs?: number } = {},
  ): Promise<Conversation> {
    const dataDir = mkdtempSync(join(tmpdir(), 'codexbox-data-'))
    const conversation = await openConversation({
      workspace: given.workspace ?? aWorkspace(),
      settings: { provider: 'demo', engine: 'docker', image: given.image ?? image, dataDir },
      limits: { runMs: 60_000, toolMs: given.toolMs ?? 20_000 },
    })
    later(async () => {
      await conversation.close()
      rmSync(dataDir, { recursive: true, force: true })
    })
    return conversation
  }

  /** What a tool of a run has put out, and how the run ended. */
  async function runOf(conversation: Conversation, command: string) {
    const run = conversation.run(`run: ${command}`)
    let output = ''
    for await (const event of run) {
      if (event.type === 'item' && event.item.type === 'function_call_output') {
        output += String(event.item.output)
      }
    }
    return { output, ...(await run.result) }
  }

  test.each(['a:b', 'a:/etc:ro', 'with space', "quote'", ...(isPodman ? [] : ['ä,source=x'])])(
    'a workspace called %j is that folder, and no other',
    async (name) => {
      const workspace = join(aWorkspace(), name)
      mkdirSync(workspace, { recursive: true })
      if (process.getuid?.() === 0) chownSync(workspace, TOOL_USER.uid, TOOL_USER.gid)

      const { output } = await runOf(await open({ workspace }), 'touch here; ls')

      expect(output).toMatch(/\nhere\s*$/)
      expect(readdirSync(workspace)).toEqual(['here'])
    },
    LONG_MS,
  )

  test(
    'what an image declares as a volume takes nothing of the disk of the host',
    async () => {
      const derived = await images.derive(['VOLUME /data', 'VOLUME ["/var/lib/a b/"]'])
      const before = await docker.listVolumes()

      const { output } = await runOf(
        await open({ image: derived }),
        'cd /data && stat -f -c %T . "/var/lib/a b" && head -c 300000000 /dev/zero > x; du -b x',
      )

      expect(output).toMatch(/tmpfs\s+tmpfs\s/)
      expect(output).toContain('No space left on device')
      expect(output).toMatch(/\b268\d{6}\s+x/)
      expect((await docker.listVolumes()).Volumes).toEqual(before.Volumes)
    },
    LONG_MS,
  )

  test(
    'a tool that does all to stay on costs its time and no more, and all of it goes with the run',
    async () => {
      const conversation = await open({ toolMs: 2000 })
      const command = [
        `(setsid sh -c 'trap "" TERM HUP INT; sleep 601' &)`,
        '(setsid sh -c "exec <&- >&- 2>&-; sleep 602" &)',
        'sleep 603 & (sleep 604 & disown)',
        'trap "" TERM HUP INT; echo begun; sleep 605',
      ].join('; ')

      const startedAt = performance.now()
      const { output, status, runId } = await runOf(conversation, command)

      expect(output).toMatch(/^killed: still running after 2 s\n.*begun/s)
      expect(status).toBe('done')
      expect(performance.now() - startedAt).toBeLessThan(20_000)
      const container = docker.getContainer(`codexbox-${runId}`)
      const { Processes } = await container.top()
      const commands = Processes.map((line: string[]) => line.at(-1) ?? '')
      expect(commands.filter((command: string) => command.startsWith('sleep 60'))).toEqual([])
      await conversation.close()
      await expect(container.inspect()).rejects.toMatchObject({ statusCode: 404 })
    },
    LONG_MS,
  )

  test(
    'a tool that asks somebody gets no answer at once: there is nobody, and no terminal',
    async () => {
      const asking = [
        'cat; read x || echo no line',
        '(: < /dev/tty) 2>&1 | tail -1',
        'su root -c id; sudo -n id; ssh nobody@127.0.0.1; passwd',
        'git ls-remote https://127.0.0.1:1/x; node -e "process.stdin.resume()"',
        'echo over',
      ].join('; ')

      const startedAt = performance.now()
      const { output, status } = await runOf(await open(), `{ ${asking}; } 2>&1`)

      expect(status).toBe('done')
      expect(output).toContain('no line')
      expect(output).toMatch(/\nover\s*$/)
      expect(output).not.toContain('uid=0')
      expect(performance.now() - startedAt).toBeLessThan(15_000)
    },
    LONG_MS,
  )

  const node = (file: string) =>
    `RUN rm "$(command -v node)"; printf '${file}' >/usr/bin/node; chmod 755 /usr/bin/node`
  const aarch64 = `\\177ELF\\002\\001\\001${'\\000'.repeat(9)}\\002\\000\\267\\000\\001\\000\\000\\000`

  test.skipIf(isPodman).each([
    ['exits with 0 at once', node('#!/bin/sh\\nexit 0\\n'), 'container-lost'],
    ['prints garbage', node('#!/bin/sh\\necho garbage\\n'), 'protocol-violation'],
    ['is for another machine', node(aarch64), 'image-unusable'],
    ['is no program', node(''), /^(image-unusable|container-lost)$/],
  ])(
    'an image whose node %s ends the run typed',
    async (_, change, code) => {
      const conversation = await open({ image: await images.derive([change]) })

      const { status, error, runId } = await conversation.run('hello').result

      expect({ status, code: error?.code }).toEqual({
        status: 'failed',
        code: typeof code === 'string' ? code : expect.stringMatching(code),
      })
      await withoutLeftovers(docker, { name: [`codexbox-${runId}`] })
    },
    LONG_MS,
  )

  test(
    'an image without bash fails the call of a tool in words, and the run ends',
    async () => {
      const derived = await images.derive(['RUN rm "$(command -v bash)"; rm -f /bin/bash'])

      const { output, status } = await runOf(await open({ image: derived }), 'echo hello')

      expect(output).toMatch(/^error: .*bash/)
      expect(status).toBe('done')
    },
    LONG_MS,
  )

  test.each<[what: string, request: RegExp, status: number, code: string, says: RegExp]>([
    ['is too new for us', /^GET \/_ping/, 400, 'engine-unavailable', /too old/],
    ['fails to make it', /^POST \/containers\/create/, 500, 'engine-unavailable', /not today/],
    ['has no place for it', /^POST \/containers\/create/, 507, 'engine-unavailable', /not today/],
    ['fails to start it', /^POST \/containers\/\w+\/start/, 500, 'engine-unavailable', /not today/],
    ['cannot tell of it', /^GET \/containers\/\w+\/json/, 500, 'engine-unavailable', /not today/],
  ])(
    'an engine that %s is told, and nothing is left',
    async (_, request, status, code, says) => {
      const way = await someEngine(socketPath, (head) =>
        request.test(head)
          ? { status, message: status === 400 ? 'client version is too old' : 'not today' }
          : undefined,
      )
      const engine = dockerEngine(new Dockerode({ socketPath: way }), image, 'the test')
      const name = uniqueName('refused')

      const started = engine.check().then(() => engine.start(aSpec(name)))

      await expect(started).rejects.toMatchObject({ code, message: expect.stringMatching(says) })
      await withoutLeftovers(docker, { name: [name] })
    },
    LONG_MS,
  )

  test(
    'a container whose removal is in conflict with another one is gone when it was stopped',
    async () => {
      let conflicts = 0
      const way = await someEngine(socketPath, (head) =>
        /^DELETE /.test(head) && conflicts++ === 0
          ? { status: 409, message: 'removal is already in progress' }
          : undefined,
      )
      const engine = dockerEngine(new Dockerode({ socketPath: way }), image, 'the test')
      const name = uniqueName('conflict')
      const agent = await engine.start(aSpec(name))

      await agent.stop(0)

      expect(conflicts).toBeGreaterThan(0)
      await withoutLeftovers(docker, { name: [name] })
    },
    LONG_MS,
  )

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)(
    '%s ends a run in a container, and it is gone (%i)',
    async (signal, exitCode) => {
      const home = aHome()
      const running = home.start(['run', '--json', 'run: touch begun; sleep 600'], {
        env: { AGENT_ENGINE: 'docker', AGENT_IMAGE: image, DOCKER_HOST: `unix://${socketPath}` },
      })
      await expect.poll(() => readdirSync(home.workspace), { timeout: 30_000 }).toContain('begun')

      running.child.kill(signal)

      const { code, stdout } = await running.result
      expect(code).toBe(exitCode)
      expect(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')).toMatchObject({
        type: 'finished',
        status: 'interrupted',
      })
      await withoutLeftovers(docker, { label: [`codexbox.pid=${running.child.pid}`] })
    },
    LONG_MS,
  )

  test(
    'SIGINT while a container is made and started leaves none',
    async () => {
      const home = aHome()
      for (const afterMs of [200, 400, 600, 800]) {
        const running = home.start(['run', '--json', 'run: sleep 600'], {
          env: { AGENT_ENGINE: 'docker', AGENT_IMAGE: image, DOCKER_HOST: `unix://${socketPath}` },
        })
        await new Promise((resolve) => setTimeout(resolve, afterMs))
        running.child.kill('SIGINT')

        const { code, signal } = await running.result
        // Before it listens for it, the signal is what ends it.
        expect(code ?? signal).toSatisfy((end) => end === 130 || end === 'SIGINT')
        await withoutLeftovers(docker, { label: [`codexbox.pid=${running.child.pid}`] })
      }
    },
    LONG_MS,
  )

  function aHome(): Home {
    const home = openHome()
    later(() => home.clear())
    if (process.getuid?.() === 0) chownSync(home.workspace, TOOL_USER.uid, TOOL_USER.gid)
    return home
  }
})

function aSpec(name: string) {
  return {
    name,
    agentFile,
    workspace: aHeldWorkspace(),
    socketFolder: undefined,
    network: 'none' as const,
    user: TOOL_USER,
  }
}

/**
 * An engine at `target` but for the requests that `refuse` has an answer to, by their first line
 * without the version; where it is reached.
 */
async function someEngine(
  target: string,
  refuse: (head: string) => { status: number; message: string } | undefined,
): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-some-engine-'))
  const socketPath = join(folder, 'docker.sock')
  const server = http.createServer((request, response) => {
    const { method = '', url = '', headers } = request
    const answer = refuse(`${method} ${url.replace(/^\/v[\d.]+/, '')}`)
    if (answer) {
      request.resume()
      response.writeHead(answer.status, { 'content-type': 'application/json' })
      return void response.end(JSON.stringify({ message: answer.message }))
    }
    const asking = http.request({ socketPath: target, method, path: url, headers }, (answered) => {
      response.writeHead(answered.statusCode ?? 0, answered.headers)
      answered.pipe(response)
    })
    asking.on('error', () => response.destroy())
    request.pipe(asking)
  })
  // A container is attached to over a connection that stops to be HTTP.
  server.on('upgrade', ({ method, url, headers }, client, head) => {
    const asking = http.request({ socketPath: target, method, path: url, headers })
    asking.on('upgrade', (answered, engine, first) => {
      const lines = Object.entries(answered.headers).map(([name, value]) => `${name}: ${value}`)
      client.write(`HTTP/1.1 101 UPGRADED\r\n${lines.join('\r\n')}\r\n\r\n`)
      client.write(first)
      engine.write(head)
      client.pipe(engine).pipe(client)
      client.on('error', () => engine.destroy())
      engine.on('error', () => client.destroy())
    })
    asking.on('error', () => client.destroy())
    asking.end()
  })
  server.listen(socketPath)
  await once(server, 'listening')
  later(() => {
    server.closeAllConnections()
    server.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return socketPath
}
