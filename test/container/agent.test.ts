import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect, test, vi } from 'vitest'
import { agentFile } from '../../host/package-root.ts'
import type { HostLine } from '../../shared/protocol.ts'
import { addedItems, eventsOf, outputsSent, play, start } from '../conformance/replay.ts'
import { type AgentProcess, startAgent } from '../fakes/agent-process.ts'
import {
  callsAnswer,
  type Exchange,
  messageItem,
  sse,
  startModelServer,
  textAnswer,
} from '../fakes/model-server.ts'
import { aRunRequest } from '../fakes/run-request.ts'
import { expectGone } from './worker-process.ts'

const bash = (command: string): ['bash', object] => ['bash', { command }]
const secrets = { CODEX_ACCESS_TOKEN: 'second-token', CODEX_ACCOUNT_ID: 'account-1' }
const goOn = { type: 'prompt', runId: 'run-2', prompt: 'Go on.', secrets } as const
const linux = { skip: process.platform !== 'linux' }

/** The number of the agent's process, from a command that its worker runs. */
const AGENT = "$(ps -o ppid= -p $PPID | tr -d ' ')"

/** Half an answer, and then silence. */
const stalled: Exchange = {
  body: sse([{ type: 'response.output_text.delta', delta: 'Half' }]),
  fault: 'stall',
}

/** The process id that a command writes, once it is there. */
async function pidIn(workspace: string): Promise<number> {
  const file = join(workspace, 'pid')
  return vi.waitFor(() => {
    expect(existsSync(file) && readFileSync(file, 'utf8')).toMatch(/^\d+\n$/)
    return Number(readFileSync(file, 'utf8'))
  }, 5000)
}

/** Everything up to its end; fails when it breaks the protocol, such as by a word after the last. */
async function lastWords(agent: AgentProcess) {
  for await (const _ of agent.events);
  return eventsOf(agent, 'finished')
}

describe.concurrent('SIGTERM', linux, () => {
  test('during a call ends the call, then the run, then the process', async (t) => {
    const call = callsAnswer(bash(`echo $$ > pid; kill -TERM ${AGENT}; sleep 60`))
    const { agent, workspace } = await start(t, [call])

    expect(await agent.exit).toEqual({ code: 0, signal: null })
    expect(await lastWords(agent)).toMatchObject([{ status: 'interrupted', toolCalls: 1 }])
    expect(eventsOf(agent, 'tool.finished')).toMatchObject([{ ok: false }])
    expect(eventsOf(agent, 'item').at(-1)?.item).toMatchObject({ call_id: 'call_1' })
    await expectGone([await pidIn(workspace)])
  })

  test('between two runs ends the process at once', async (t) => {
    const script = [callsAnswer(bash(`echo ${AGENT} > pid`)), textAnswer()]
    const { agent, workspace } = await play(t, script, { limits: { idleMs: 60_000 } })
    process.kill(await pidIn(workspace), 'SIGTERM')

    expect(await agent.exit).toEqual({ code: 0, signal: null })
    expect(await lastWords(agent)).toMatchObject([{ status: 'done' }])
  })
})

describe.concurrent('an interruption', linux, () => {
  test('ends every call and all they started, and says so in their outputs', async (t) => {
    const { agent, server, workspace } = await start(t, [
      callsAnswer(
        bash('echo begun; sleep 60 & (trap "" TERM INT; sleep 60) & echo $$ > pid; wait'),
        bash('sleep 60'),
        ['read_file', { path: '/missing' }],
      ),
      textAnswer(),
    ])
    const shell = await pidIn(workspace)
    agent.send({ type: 'interrupt' })

    expect(await agent.finished()).toMatchObject({ status: 'interrupted', turns: 1, toolCalls: 3 })
    await expectGone([shell])
    agent.send(goOn)
    expect(await agent.finished()).toMatchObject({ runId: 'run-2', status: 'done' })
    expect(outputsSent(server, 1)).toEqual({
      call_1: expect.stringMatching(/^killed: the run was interrupted\n[^$]*begun/),
      call_2: expect.stringMatching(/^killed: the run was interrupted\n/),
      call_3: expect.stringMatching(/^error: ENOENT/),
    })
  })

  test('during a wait for new secrets or before a retry is heard at once', async (t) => {
    const refused: Exchange = { status: 401, body: { error: { message: 'no' } } }
    const later: Exchange = { status: 503, headers: { 'retry-after': '30' }, body: 'later' }
    const { agent } = await start(t, [refused, later])
    await agent.until('secrets.needed')
    agent.send({ type: 'interrupt' })
    expect(await agent.finished()).toMatchObject({ status: 'interrupted' })
    agent.send(goOn)
    await agent.until('retry')
    agent.send({ type: 'interrupt' })

    expect(await agent.finished()).toMatchObject({ runId: 'run-2', status: 'interrupted' })
  })

  test('between two runs means nothing to the next', async (t) => {
    const { agent } = await play(t, [textAnswer(), callsAnswer(bash('echo hello')), textAnswer()])
    agent.send({ type: 'interrupt' })
    agent.send({ type: 'message', text: 'Said to nobody.' })
    agent.send(goOn)

    expect(await agent.finished()).toMatchObject({ status: 'done', toolCalls: 1 })
    expect(eventsOf(agent, 'tool.finished')).toMatchObject([{ ok: true }])
  })
})

describe.concurrent('the time of a run', linux, () => {
  test('is up in the middle of a call, and the conversation can go on', async (t) => {
    const call = callsAnswer(bash('echo $$ > pid; sleep 60'))
    const limits = { runMs: 1000 }
    const { agent, finished, server, workspace } = await play(t, [call, textAnswer()], { limits })

    expect(finished).toMatchObject({ status: 'failed', error: { code: 'run-timeout' }, turns: 1 })
    expect(finished.durationMs).toBeLessThan(4000)
    await expectGone([await pidIn(workspace)])
    agent.send(goOn)
    expect(await agent.finished()).toMatchObject({ runId: 'run-2', status: 'done' })
    expect(Object.keys(outputsSent(server, 1))).toEqual(['call_1'])
  })

  test('is up in the middle of an answer', async (t) => {
    const { finished } = await play(t, [stalled], { limits: { runMs: 500 } })

    expect(finished).toMatchObject({
      status: 'failed',
      error: { code: 'run-timeout', message: 'The run was stopped after its 0.5 s.' },
    })
  })
})

describe.concurrent('a message during a run', () => {
  test('that comes with the last answer is answered too', async (t) => {
    const last = sse([
      { type: 'response.output_text.delta', delta: 'Done' },
      { type: 'response.output_item.done', item: messageItem('Done.') },
      { type: 'response.completed', response: { id: 'resp_1' } },
    ])
    const { agent, server } = await start(t, [{ body: last, byteByByte: true }, textAnswer()])
    await agent.until('text.delta')
    agent.send({ type: 'message', text: 'One more thing.' })
    agent.send({ type: 'message', text: 'And another.' })

    expect(await agent.finished()).toMatchObject({ status: 'done', turns: 2 })
    expect(addedItems(server, 1)).toMatchObject([
      messageItem('Done.'),
      { role: 'user', content: [{ text: 'One more thing.' }] },
      { role: 'user', content: [{ text: 'And another.' }] },
    ])
  })
})

describe.concurrent('a line on stdin that makes no sense', () => {
  test.for([
    ['an unknown type', { type: 'no-such-line' }],
    ['a message without text', { type: 'message' }],
    [
      'secrets with a header in the token',
      { type: 'secrets', secrets: { CODEX_ACCESS_TOKEN: 'second-token\r\nhost: x' } },
    ],
    ['a prompt during a run', goOn],
    ['a second first line', { version: 1, secrets }],
  ] as const)('ends the run with one last word, and the process: %s', async ([, line], t) => {
    const { agent } = await start(t, [callsAnswer(bash('sleep 60')), textAnswer()])
    await agent.until('tool.started')
    agent.send(line as HostLine)

    expect(await agent.exit).toEqual({ code: 2, signal: null })
    expect(await lastWords(agent)).toMatchObject([
      { runId: 'run-1', status: 'failed', error: { code: 'request-invalid' } },
    ])
  })

  test('is the last word in the middle of an answer, too', async (t) => {
    const { agent } = await start(t, [stalled])
    await agent.until('text.delta')
    agent.send({ type: 'no-such-line' } as unknown as HostLine)

    expect(await agent.exit).toEqual({ code: 2, signal: null })
    expect(await lastWords(agent)).toMatchObject([{ error: { code: 'request-invalid' } }])
  })
})

describe('SIGUSR1', linux, () => {
  test('opens no inspector, neither in the agent nor in the worker', async (t) => {
    const look = 'sleep 0.3; (: < /dev/tcp/127.0.0.1/9229) 2>&1'
    const { agent, finished, server } = await play(t, [
      callsAnswer(bash(`kill -USR1 ${AGENT}; ${look}`)),
      callsAnswer(bash(`kill -USR1 $PPID; ${look}`)),
      textAnswer(),
    ])

    expect(finished).toMatchObject({ status: 'done', toolCalls: 2 })
    expect(outputsSent(server, 1).call_1).toContain('Connection refused')
    expect(outputsSent(server, 2).call_1).toContain('Connection refused')
    // Node announces an inspector here, and also that its port is taken.
    expect(agent.stderr).toBe('')
  })
})

describe('a workspace', () => {
  test.each([
    ['that is missing', '/nonexistent/work', 'cannot be found'],
    ['that is a file', '/etc/passwd', 'is not a folder'],
    ['below a file', '/etc/passwd/work', 'cannot be found'],
    ['with a name too long', `/${'a'.repeat(4097)}`, 'cannot be found'],
    ['with NUL in its name', '/tmp/a\0b', 'cannot be found'],
  ])('%s ends the script with a typed error before a model is asked', async (_, workspace, why) => {
    const server = await startModelServer([])
    const agent = startAgent(aRunRequest({ workspace, endpoint: server.endpoint }))

    const exit = await agent.exit
    await server.close()

    expect(agent.seen).toMatchObject([
      {
        type: 'finished',
        runId: 'run-1',
        status: 'failed',
        error: { code: 'workspace-invalid', message: expect.stringContaining(why) },
      },
    ])
    expect(exit.code).toBe(2)
    expect(server.requests).toEqual([])
  })
})

test('a long run warns of nothing', async (t) => {
  const calls = Array.from({ length: 12 }, () => bash('true'))
  const turns = Array.from({ length: 15 }, () => callsAnswer(...calls))
  const { agent, finished } = await play(t, [...turns, textAnswer()])

  expect(finished).toMatchObject({ status: 'done', turns: 16, toolCalls: 180 })
  expect(agent.stderr).toBe('')
})

test('the end of a run reaches a host that reads late', async () => {
  const server = createServer((_, response) => response.end(textAnswer().body))
  const gone = new Promise((resolve) =>
    server.once('connection', (socket) => socket.once('close', resolve)),
  )
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const request = aRunRequest({
    prompt: 'x'.repeat(4 * 1024 * 1024),
    endpoint: { url: `http://127.0.0.1:${port}/v1/responses` },
  })
  const agent = spawn(process.execPath, [agentFile], { stdio: ['pipe', 'pipe', 'inherit'] })
  agent.stdin.write(`${JSON.stringify(request)}\n${JSON.stringify({ type: 'close' })}\n`)

  // The agent drops its connections on its way out.
  await gone
  const said = await text(agent.stdout)
  server.close()

  expect(said.trimEnd().split('\n').at(-1)).toContain('"status":"done"')
})
