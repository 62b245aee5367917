import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ContainerCreateOptions } from 'dockerode'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import { inspectTools } from '../../host/engine/tools-image.ts'
import { openConversation } from '../../host/open-conversation.ts'
import { derivedImages } from '../derived-images.ts'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'
import { cleanUp, later, startAgent, TOOL_USER, until } from './engine-contract.ts'
import { startEngineProxy } from './engine-proxy.ts'

const isRoot = process.getuid?.() === 0
const hasCompiler = spawnSync('gcc', ['--version']).status === 0
if (!hasCompiler) console.warn('There is no gcc: LD_PRELOAD of an image is not tried.')

/** Each way in which an image can have a program run code of the workspace. */
const TRAPS = [
  'ENV GREETING="hello there" NODE_OPTIONS=--require=/workspace/trap.cjs BASH_ENV=/workspace/trap.sh',
  ...(hasCompiler ? ['ENV LD_PRELOAD=/workspace/trap.so'] : []),
  'ENV PATH=/workspace/bin:bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  'HEALTHCHECK --interval=1s CMD touch /workspace/healthy',
  'LABEL codexbox.pid=1 codexbox.host=another',
  'STOPSIGNAL SIGUSR2',
  'USER 1000',
  'WORKDIR /workspace',
]

describeWithEngine('an image that has its programs run code of the workspace', (engine) => {
  const { docker, image } = engine
  const images = derivedImages(docker, image, afterAll)
  let trapped: string

  beforeAll(async () => {
    trapped = await images.derive(TRAPS)
  })
  afterEach(async () => {
    vi.unstubAllEnvs()
    await cleanUp()
  })
  afterAll(() => withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] }))

  function aFolder(): string {
    const folder = mkdtempSync(join(tmpdir(), 'codexbox-image-environment-'))
    later(() => rmSync(folder, { recursive: true, force: true }))
    return folder
  }

  /** A workspace with the traps in it; each notes in `caught` which program has run it. */
  function aWorkspace(user: { uid: number; gid: number }): string {
    const workspace = aFolder()
    const put = (name: string, text: string) =>
      writeFileSync(join(workspace, name), text, { mode: 0o755 })
    mkdirSync(join(workspace, 'bin'))
    put(
      'trap.cjs',
      `require('fs').appendFileSync('/workspace/caught', 'node: ' + process.argv.join(' ') + '\\n')`,
    )
    put(
      'trap.sh',
      `printf 'bash: %s\\n' "$(tr '\\0\\n' '  ' </proc/$$/cmdline)" >>/workspace/caught\n`,
    )
    put(
      'bin/node',
      `#!/bin/sh\necho "path: $0 $*" >>/workspace/caught\nPATH=/usr/local/bin:/usr/bin:/bin\nexec node "$@"\n`,
    )
    if (hasCompiler) {
      const source = join(aFolder(), 'trap.c')
      writeFileSync(source, PRELOADED)
      execFileSync('gcc', ['-shared', '-fPIC', '-o', join(workspace, 'trap.so'), source])
    }
    writeFileSync(join(workspace, 'caught'), '')
    // The agent has to be able to fall into a trap, and to leave a trace.
    for (const name of ['.', 'bin', 'caught']) chmodSync(join(workspace, name), 0o777)
    if (isRoot) chownSync(workspace, user.uid, user.gid)
    return workspace
  }

  describe.each([
    { owner: 'an ordinary user', user: TOOL_USER, relay: false },
    { owner: 'an ordinary user, by a relay', user: TOOL_USER, relay: true },
    { owner: 'root', user: { uid: 0, gid: 0 }, relay: false },
  ])('in a workspace of $owner', ({ user, relay }) => {
    test.skipIf(user.uid === 0 && (!isRoot || engine.isRootless))(
      'gets its variables into the commands of tools, and none of our processes run any of it',
      async () => {
        const workspace = aWorkspace(user)
        if (relay) {
          const { socketPath } = docker.modem as unknown as { socketPath: string }
          const proxy = await startEngineProxy(socketPath)
          later(() => proxy.close())
          vi.stubEnv('DOCKER_HOST', `tcp://127.0.0.1:${proxy.port}`)
        }
        const conversation = await openConversation({
          workspace,
          settings: { provider: 'demo', engine: 'docker', image: trapped, dataDir: aFolder() },
        })
        later(() => conversation.close())

        const { status, error, runId } = await conversation.run(
          'run: echo "$GREETING|$NODE_OPTIONS|$HOME|$PATH" >seen; node -e 0',
        ).result
        const caught = readFileSync(join(workspace, 'caught'), 'utf8').trim().split('\n')

        expect(caught.filter((line) => /agent\.cjs|setpriv|sleep infinity/.test(line))).toEqual([])
        expect({ status, error }).toEqual({ status: 'done' })
        expect(readFileSync(join(workspace, 'seen'), 'utf8').trim().split('|')).toEqual([
          'hello there',
          '--require=/workspace/trap.cjs',
          '/home/agent',
          '/workspace/bin:bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        ])
        // They are caught by tools, and so they do work.
        expect(new Set(caught.map((line) => line.split(':', 1)[0]))).toEqual(
          new Set(['node', 'bash', 'path', ...(hasCompiler ? ['preload'] : [])]),
        )
        const { Config, State } = await docker.getContainer(`codexbox-${runId}`).inspect()
        expect(State).not.toHaveProperty('Health.Log.0')
        expect(existsSync(join(workspace, 'healthy'))).toBe(false)
        expect(Config).toMatchObject({
          User: '0:0',
          WorkingDir: '/',
          StopSignal: expect.toSatisfy((signal) => ['SIGTERM', '15', 15].includes(signal)),
          Labels: { 'codexbox.pid': String(process.pid) },
        })
      },
    )
  })

  test('starts the node of its PATH, in whatever folder that is', async () => {
    const folder = '/usr/local/nvm/versions/node/v22/bin'
    const odd = await images.derive([
      `RUN mkdir -p ${folder} && mv "$(command -v node)" ${folder}/node`,
      `ENV PATH=/workspace/bin:${folder}:/usr/bin:/bin`,
    ])

    const { agent, begin, events } = await startAgent(dockerEngine(docker, odd, 'the test'))
    begin('run: command -v node')

    expect(await until(events, 'finished')).toMatchObject({ status: 'done', toolCalls: 1 })
    expect(agent.view.toolEnvironment?.PATH).toMatch(/^\/workspace\/bin:/)
  })

  test('is refused on an engine that keeps its variables or its check', async () => {
    const careless = Object.create(docker) as typeof docker
    careless.createContainer = ({ Env: _, Healthcheck: __, ...options }: ContainerCreateOptions) =>
      docker.createContainer({ ...options, UnsetEnvAll: false } as ContainerCreateOptions)

    const error = await startAgent(dockerEngine(careless, trapped, 'the test')).catch(
      (e: unknown) => e,
    )

    expect(error).toMatchObject({
      code: 'engine-unavailable',
      message: expect.stringMatching(
        /weaker than .*: Env is \[.*"NODE_OPTIONS".*\] instead of \[\]; Healthcheck is .*Nothing was started/,
      ),
    })
    expect(error).not.toMatchObject({ message: expect.stringContaining('hello there') })
  })

  test('can be used, and is said to be usable', async () => {
    expect(await inspectTools(docker, trapped)).toMatchObject({ nodeVersion: expect.any(String) })
  })
})

/** Notes each program that it is loaded into. */
const PRELOADED = `
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
__attribute__((constructor)) static void note(void) {
  char line[4096] = "preload: ";
  int from = open("/proc/self/cmdline", O_RDONLY);
  int to = open("/workspace/caught", O_WRONLY | O_APPEND);
  int start = strlen(line);
  int end = start + read(from, line + start, sizeof line - start - 1);
  for (int i = start; i < end; i++) if (line[i] == 0 || line[i] == '\\n') line[i] = ' ';
  line[end++] = '\\n';
  write(to, line, end);
  close(from);
  close(to);
}
`
