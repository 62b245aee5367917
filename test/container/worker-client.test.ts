import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { WorkerClient } from '../../container/agent/worker-client.ts'
import { agentFile } from '../../host/package-root.ts'
import { type Cleanup, eventsOf, outputsSent, play, start } from '../conformance/replay.ts'
import { startAgent } from '../fakes/agent-process.ts'
import {
  callsAnswer,
  type Exchange,
  type ModelServer,
  startModelServer,
  textAnswer,
} from '../fakes/model-server.ts'
import { aRunRequest } from '../fakes/run-request.ts'
import { expectGone } from './worker-process.ts'

// What outlives its worker is nobody's to end, here; so nothing sleeps for long.
const bash = (command: string): ['bash', object] => ['bash', { command }]
const linux = { skip: process.platform !== 'linux' }

describe.concurrent('a worker that is lost', linux, () => {
  test('costs the calls it was busy with, and the next call gets a new one', async (t) => {
    const { agent, finished, server } = await play(t, [
      callsAnswer(bash('kill -9 $PPID; sleep 10'), bash('sleep 10')),
      callsAnswer(bash('echo back')),
      textAnswer(),
    ])

    expect(finished).toMatchObject({ status: 'done', turns: 3, toolCalls: 3 })
    const lost = expect.stringMatching(
      /^error: the process that runs the tools was lost \(.*SIGKILL/,
    )
    expect(outputsSent(server, 1)).toEqual({ call_1: lost, call_2: lost })
    expect(lastOutput(server, 2)).toContain('back')
    expect(eventsOf(agent, 'tool.finished').map(({ ok }) => ok)).toEqual([false, false, true])
    expect(agent.stderr).toBe('')
  })

  test('may be lost again and again', async (t) => {
    const losses = Array.from({ length: 5 }, () => callsAnswer(bash('kill -9 $PPID')))
    const script = [...losses, callsAnswer(bash('echo back')), textAnswer()]
    const { finished, server } = await play(t, script)

    expect(finished).toMatchObject({ status: 'done', toolCalls: 6 })
    expect(lastOutput(server, 6)).toContain('back')
  })

  test('is replaced when it is stopped and its time is up, and what it runs ends', async (t) => {
    const limits = { toolMs: 1000 }
    const { finished, server, workspace } = await play(
      t,
      [
        callsAnswer(bash('echo $$ > pid; sleep 60'), bash('sleep 0.3; kill -STOP $PPID; sleep 60')),
        callsAnswer(bash('echo back')),
        textAnswer(),
      ],
      { limits },
    )

    expect(finished).toMatchObject({ status: 'done', toolCalls: 3 })
    const lost = expect.stringContaining('was lost')
    expect(outputsSent(server, 1)).toEqual({ call_1: lost, call_2: lost })
    expect(lastOutput(server, 2)).toContain('back')
    await expectGone([Number(readFileSync(join(workspace, 'pid'), 'utf8'))])
  })

  test('does not hold up an interruption when it is stopped', async (t) => {
    const limits = { toolMs: 60_000 }
    const script = [callsAnswer(bash('touch begun; kill -STOP $PPID; sleep 10'))]
    const { agent, workspace } = await start(t, script, { limits })
    await vi.waitFor(() => expect(existsSync(join(workspace, 'begun'))).toBe(true), 5000)
    agent.send({ type: 'interrupt' })

    expect(await agent.finished()).toMatchObject({ status: 'interrupted', toolCalls: 1 })
  })

  test('does not hold up the end of the script when it is stopped', async (t) => {
    const script = [callsAnswer(bash('touch begun; kill -STOP $PPID; sleep 10'))]
    const { agent, workspace } = await start(t, script, { limits: { toolMs: 60_000 } })
    await vi.waitFor(() => expect(existsSync(join(workspace, 'begun'))).toBe(true), 5000)
    agent.endInput()

    expect(await agent.exit).toEqual({ code: 0, signal: null })
  })
})

const RESULT = '{"type":"result","id":1,"ok":true,"output":"","summary":"",'

// Where tools run as the agent's user, they can speak in its place with a debugger's means.
describe.concurrent('a worker that is in the hands of a tool', linux, () => {
  test.for([
    ['no JSON', 'garbage'],
    ['nothing to take apart', 'null'],
    ['an answer with images that are none', `${RESULT}"images":"data:image/png"}`],
    ['an answer with an image to be fetched', `${RESULT}"images":["https://example.com"]}`],
    ['output that is no text', '{"type":"output","id":1,"text":7}'],
    ['a flood of output', `{"type":"output","id":1,"text":"${'x'.repeat(70_000)}"}`],
    [
      'an answer with images of any size',
      `${RESULT}"images":["data:image/png;base64,${'x'.repeat(17 * 1024 * 1024)}"]}`,
    ],
    [
      'an answer longer than any can be',
      `{"type":"result","id":1,"ok":true,"output":"${'x'.repeat(20 * 1024 * 1024)}","summary":""}`,
    ],
    ['what has no type', '{"id":1,"ok":true,"output":"","summary":""}'],
    ['an answer without its fields', '{"type":"result","id":1}'],
    [
      'an answer with fields of another type',
      '{"type":"result","id":1,"ok":1,"output":{},"summary":[]}',
    ],
  ] as const)('is replaced when it says what is no answer: %s', async ([, said], t) => {
    const { agent, finished, server } = await playWith(t, firstWorkerSays(t, said), [
      callsAnswer(bash('echo hello')),
      callsAnswer(bash('echo back')),
      textAnswer(),
    ])

    expect(finished).toMatchObject({ status: 'done', toolCalls: 2 })
    expect(outputsSent(server, 1).call_1).toContain('was lost')
    expect(lastOutput(server, 2)).toContain('back')
    expect(agent.stderr).toBe('')
  })

  test('cannot make an output larger than tools may', async (t) => {
    const text = 'x'.repeat(5_000_000)
    const forged = { type: 'result', id: 1, ok: true, output: text, summary: text }
    const script = [callsAnswer(bash('echo hello')), textAnswer()]
    const { agent, finished, server } = await playWith(
      t,
      firstWorkerSays(t, JSON.stringify(forged)),
      script,
    )

    expect(finished.status).toBe('done')
    expect(outputsSent(server, 1).call_1?.length).toBeLessThan(100_000)
    expect(outputsSent(server, 1).call_1).toContain('bytes of 5000000 left out here')
    expect(eventsOf(agent, 'tool.finished')[0]?.summary.length).toBeLessThan(10_000)
  })

  test('says to the model what it says on stderr, and never to the person', async (t) => {
    const { agent, finished, server } = await playWith(
      t,
      firstWorker(t, `console.error('a word', 'x'.repeat(10_000), 'the end'); process.exit(7)`),
      [callsAnswer(bash('echo hello')), textAnswer()],
    )

    expect(finished.status).toBe('done')
    expect(outputsSent(server, 1).call_1).toMatch(/\(it ended with 7, saying: x{1900,} the end\)/)
    expect(outputsSent(server, 1).call_1?.length).toBeLessThan(3000)
    expect(agent.stderr).toBe('')
  })

  test('is not heard when it answers what nobody asked', async (t) => {
    const forged = { type: 'result', id: 7, ok: true, output: 'forged', summary: 'forged' }
    const honest = { type: 'result', id: 1, ok: true, output: 'honest', summary: 'honest' }
    const said = [forged, honest].map((answer) => JSON.stringify(answer)).join('\n')
    const script = [callsAnswer(bash('echo hello')), textAnswer()]
    const { finished, server } = await playWith(t, firstWorkerSays(t, said), script)

    expect(finished.status).toBe('done')
    expect(outputsSent(server, 1)).toEqual({ call_1: 'honest' })
  })
})

describe.concurrent('the user who runs the tools', linux, () => {
  const isRoot = process.getuid?.() === 0

  test.skipIf(!isRoot)('is the one asked for, who cannot look into the agent', async (t) => {
    const workspace = folder(t)
    chmodSync(workspace, 0o777)
    const worker = { uid: 65534, gid: 65534 }
    const command = `id -u; id -g; agent=$(ps -o ppid= -p $PPID | tr -d ' ')
      cat /proc/$agent/environ /proc/$agent/mem > /dev/null; ls /proc/$agent/fd; kill -0 $agent`
    const { agent, server } = await play(t, [callsAnswer(bash(command)), textAnswer()], {
      worker,
      workspace,
    })

    expect(eventsOf(agent, 'started')).toMatchObject([{ toolsIsolated: true }])
    const output = outputsSent(server, 1).call_1
    expect(output).toContain('output:\n65534\n65534\n')
    expect(output?.match(/Permission denied/g)).toHaveLength(3)
    expect(output).toContain('Operation not permitted')
  })

  test('is the same when none is asked for, and that is said', async (t) => {
    const { agent, server } = await play(t, [callsAnswer(bash('id -u')), textAnswer()])

    expect(eventsOf(agent, 'started')).toMatchObject([{ toolsIsolated: false }])
    expect(outputsSent(server, 1).call_1).toContain(`output:\n${process.getuid?.()}\n`)
  })

  test.skipIf(!isRoot)('may be root without rights, who cannot either', async (t) => {
    const worker = { uid: 0, gid: 0 }
    const command = `id -u; agent=$(ps -o ppid= -p $PPID | tr -d ' ')
      grep Cap /proc/self/status; cat /proc/$agent/environ /proc/$agent/mem > /dev/null
      cat < /proc/$agent/fd/0; echo '{}' > /proc/$agent/fd/1`
    const { agent, server } = await play(t, [callsAnswer(bash(command)), textAnswer()], { worker })

    expect(eventsOf(agent, 'started')).toMatchObject([{ toolsIsolated: true }])
    const output = outputsSent(server, 1).call_1
    expect(output).toContain('output:\n0\n')
    expect(output?.match(/Cap\w+:\t0000000000000000\n/g)).toHaveLength(5)
    expect(output?.match(/Permission denied/g)).toHaveLength(4)
  })

  test('is not the one of the agent when its rights cannot be taken: nothing is run then', async (t) => {
    const file = isRoot ? withoutRights(t) : agentFile
    const own = isRoot ? 65534 : (process.getuid?.() ?? 0)
    const { agent, finished, server } = await playWith(t, file, [textAnswer()], {
      worker: { uid: own, gid: own },
    })

    expect(finished).toMatchObject({
      status: 'failed',
      error: {
        code: 'image-unusable',
        message: expect.stringMatching(
          /^The tools cannot be kept apart from the agent: both would be user \d+, and .*setpriv.*ordinary user\.$/,
        ),
      },
    })
    expect(server.requests).toEqual([])
    expect(await agent.exit).toEqual({ code: 2, signal: null })
  })

  test('runs nothing else only where the agent is what a container was started for', async (t) => {
    const worker = { uid: 12345, gid: 12345, isExclusive: true }
    const { finished, server } = await play(t, [textAnswer()], { worker })

    expect(finished).toMatchObject({
      status: 'failed',
      error: { code: 'request-invalid', message: expect.stringContaining('worker.isExclusive') },
    })
    expect(server.requests).toEqual([])
  })

  test('is told to the model when it cannot be that one', async (t) => {
    const worker = { uid: 12345, gid: 12345 }
    const file = isRoot ? withoutRights(t) : agentFile
    const script = [callsAnswer(bash('id')), textAnswer()]
    const { agent, finished, server } = await playWith(t, file, script, { worker })

    expect(finished).toMatchObject({ status: 'done', toolCalls: 1 })
    expect(outputsSent(server, 1).call_1).toMatch(
      /^error: this was not carried out: the process that runs the tools could not be started: .*could not become user 12345: EPERM/,
    )
    agent.send({ type: 'close' })
    expect(await agent.exit).toEqual({ code: 0, signal: null })
    expect(agent.stderr).toBe('')
  })
})

describe.concurrent('the environment of the image', linux, () => {
  test('is that of commands, also when a worker was lost, and of no process of ours', async (t) => {
    const workspace = folder(t)
    const trap = join(workspace, 'trap.cjs')
    const caught = join(workspace, 'caught')
    writeFileSync(
      trap,
      `require('node:fs').appendFileSync(${JSON.stringify(caught)}, process.argv.slice(1).join() + '\\n')`,
    )
    const command = 'echo "<$GREETING>"; node - command </dev/null'
    const { server } = await play(
      t,
      [callsAnswer(bash('kill -9 $PPID')), callsAnswer(bash(command)), textAnswer()],
      { workspace, toolEnvironment: { GREETING: 'hello', NODE_OPTIONS: `--require=${trap}` } },
    )

    expect(lastOutput(server, 2)).toContain('<hello>')
    expect(readFileSync(caught, 'utf8')).toBe('-,command\n')
  })

  test('does not take the place of the way to the listed hosts', async (t) => {
    const proxies = { HTTPS_PROXY: 'http://image:1', https_proxy: 'http://image:1' }
    const command = 'echo "<$HTTPS_PROXY $https_proxy>"'
    const { server } = await play(t, [callsAnswer(bash(command)), textAnswer()], {
      egressSocketPath: join(folder(t), 'egress.sock'),
      toolEnvironment: proxies,
    })

    expect(lastOutput(server, 1)).toMatch(/<http:\/\/127\.0\.0\.1:(\d+) http:\/\/127\.0\.0\.1:\1>/)
  })
})

test('commits of tools are by the person that the host names, unless a repository or the agent says otherwise', async (t) => {
  const identity = 'git var GIT_AUTHOR_IDENT | cut -d">" -f1'
  const server = await startModelServer([
    callsAnswer(bash(`${identity}; git config --global user.name Agent`)),
    callsAnswer(bash('kill -9 $PPID')),
    callsAnswer(bash(`${identity}; git init -q .; git config user.name Local; ${identity}`)),
    textAnswer(),
  ])
  const gitConfig = '[user]\n\tname = "Ada Example"\n\temail = "ada@example.org"\n'
  const agent = startAgent(
    aRunRequest({ workspace: folder(t), endpoint: server.endpoint, gitConfig }),
    { env: { HOME: folder(t) } },
  )
  t.onTestFinished(async () => {
    await agent.stop()
    await server.close()
  })
  await agent.finished()

  expect(lastOutput(server, 1)).toContain('\nAda Example <ada@example.org')
  expect(lastOutput(server, 3)).toMatch(/\nAgent <ada@example\.org\nLocal <ada@example\.org/)
})

describe.concurrent('what comes from the worker', () => {
  test('is told while a tool runs, to the call it is from', async (t) => {
    const { client, workspace } = clientWith(t)
    const seen = ['', '']
    const calls = seen.map((_, n) => {
      const command = `echo begun ${n}; until [ -e go ]; do sleep 0.01; done; echo ended ${n}`
      return client.call('bash', { command }, (text) => {
        seen[n] += text
      })
    })
    await vi.waitFor(() => expect(seen).toEqual(['begun 0\n', 'begun 1\n']), 5000)
    writeFileSync(join(workspace, 'go'), '')
    const results = await Promise.all(calls)

    expect(seen).toEqual([0, 1].map((n) => `begun ${n}\nended ${n}\n`))
    results.forEach(({ output }, n) => {
      expect(output).toContain(`output:\n${seen[n]}`)
    })
  })

  test('may be images', async (t) => {
    const { client, workspace } = clientWith(t)
    writeFileSync(join(workspace, 'a.gif'), 'GIF89a')

    expect(await client.call('view_image', { path: 'a.gif' })).toEqual({
      ok: true,
      output: 'a.gif: image/gif, 6 bytes',
      images: ['data:image/gif;base64,R0lGODlh'],
      summary: 'image/gif, 6 bytes',
    })
  })

  test('is that of a free-form tool, too', async (t) => {
    const { client } = clientWith(t)
    const patch = '*** Begin Patch\n*** Add File: a\n+1\n*** End Patch\n'

    expect(await client.call('apply_patch', patch)).toMatchObject({ ok: true, summary: 'A a' })
  })

  test('ends for commands that outlived their call when they are cancelled', linux, async (t) => {
    const { client } = clientWith(t)
    const command = 'echo $$; sleep 60'
    const { output } = await client.call('bash', { command, yield_time_ms: 800 })
    const [, id, pid] = /session id (\d+)\n.*\noutput:\n(\d+)/.exec(output) ?? []
    client.cancel()

    await expectGone([Number(pid)])
    const end = await client.call('write_stdin', { session_id: Number(id) })
    expect(end.summary).toBe('killed: the run was interrupted')
  })

  test('is that of another command never, when the worker was lost meanwhile', linux, async (t) => {
    const { client } = clientWith(t)
    const command = 'exec sleep 1'
    const { summary } = await client.call('bash', { command, yield_time_ms: 250 })
    const id = Number(/session id (\d+)/.exec(summary)?.[1])
    await client.call('bash', { command: 'kill -9 $PPID' })

    const end = await client.call('write_stdin', { session_id: id })
    expect(end.output).toContain(`There is no session ${id}`)
  })
})

/** The client alone, with a workspace. */
function clientWith(t: Cleanup): { client: WorkerClient; workspace: string } {
  const workspace = folder(t)
  const { limits } = aRunRequest()
  const client = new WorkerClient({ workspace, limits }, agentFile)
  t.onTestFinished(() => client.stop())
  return { client, workspace }
}

/** The output of the call before a request. */
function lastOutput(server: ModelServer, index: number): string | undefined {
  return Object.values(outputsSent(server, index)).at(-1)
}

/** `play` with another file in the place of the container script. */
async function playWith(
  { onTestFinished }: Cleanup,
  file: string,
  script: readonly Exchange[],
  given: Parameters<typeof aRunRequest>[0] = {},
) {
  const server = await startModelServer(script)
  const agent = startAgent(aRunRequest({ endpoint: server.endpoint, ...given }), { file })
  onTestFinished(async () => {
    await agent.stop()
    await server.close()
  })
  return { agent, server, finished: await agent.finished() }
}

function folder({ onTestFinished }: Cleanup): string {
  const path = mkdtempSync(join(tmpdir(), 'codexbox-worker-client-'))
  onTestFinished(async () => rmSync(path, { recursive: true }))
  return path
}

/** The container script, but that its first worker answers the first call with `said`. */
function firstWorkerSays(t: Cleanup, said: string): string {
  const answer = `process.stdout.write(${JSON.stringify(`${said}\n`)})`
  return firstWorker(t, `process.stdin.once('data', () => ${answer})`)
}

/** The container script, but that its first worker, once it is ready, runs `source` and nothing else. */
function firstWorker(t: Cleanup, source: string): string {
  const file = join(folder(t), 'possessed.cjs')
  const hasRun = JSON.stringify(`${file}.has-run`)
  const script = `
    const { existsSync, writeFileSync } = require('node:fs')
    if (process.argv[2] === 'worker' && !existsSync(${hasRun})) {
      writeFileSync(${hasRun}, '')
      process.stdout.write('{"type":"ready"}\\n')
      ${source}
    } else {
      require(${JSON.stringify(agentFile)})
    }`
  writeFileSync(file, script)
  return file
}

/** The container script as somebody who may not become anybody else. */
function withoutRights(t: Cleanup): string {
  const path = folder(t)
  chmodSync(path, 0o755)
  copyFileSync(agentFile, join(path, 'agent.cjs'))
  const file = join(path, 'as-nobody.cjs')
  writeFileSync(file, 'process.setgid(65534); process.setuid(65534); require("./agent.cjs")')
  return file
}
