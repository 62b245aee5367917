import { chownSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import { agentFile as realAgentFile } from '../../host/package-root.ts'
import type { Conversation } from '../../host/runs/conversation.ts'
import type { Run } from '../../host/runs/run.ts'
import type { RunEvent } from '../../shared/protocol.ts'
import { callsAnswer, textAnswer } from '../fakes/model-server.ts'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'
import { type Bench, openBench } from '../runs/observed-conversation.ts'
import { TOOL_USER } from './engine-contract.ts'

const LONG_MS = 60_000

/** How long something that still runs would be waited for. */
const LATER_MS = 700

/** What a tool may leave running, each in a way of its own. */
const KINDS = [
  'in a session of its own',
  'of no parent',
  'in another group of the same session',
  'deaf to signals',
  'halted',
  'whose first thread has ended',
  'hopping from number to number',
]

/** Comes for some seconds, in which a test can do something behind the last call. */
const SLOW_ANSWER = { ...textAnswer('x'.repeat(2000)), byteByByte: true }

describeWithEngine('at the end of a run', ({ docker, image, source, isRootless }) => {
  const engine = dockerEngine(docker, image, source)
  const isRoot = process.getuid?.() === 0 && !isRootless
  let bench: Bench

  beforeEach(async () => {
    bench = await openBench()
  })
  afterEach(() => bench.clear())
  afterAll(() => withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] }))

  const at = (name: string) => join(bench.workspace, name)
  const there = (file: string) => vi.waitFor(() => expect(existsSync(at(file))).toBe(true), 15_000)

  async function open(
    owner: { uid: number; gid: number },
    limits = {},
    agentFile = realAgentFile,
  ): Promise<Conversation> {
    if (process.getuid?.() === 0) chownSync(bench.workspace, owner.uid, owner.gid)
    writeFileSync(at('leave.py'), LEAVE)
    return bench.open({ engine, limits, agentFile })
  }

  const bash = (command: string, more = {}) => callsAnswer(['bash', { command, ...more }])

  /** The commands of the processes in the container, as the engine sees them. */
  async function processes(): Promise<string[]> {
    const [container] = await docker.listContainers({
      filters: { label: [`codexbox.pid=${process.pid}`] },
    })
    const { Processes, Titles } = await docker.getContainer(container?.Id ?? '').top()
    return Processes.map((line: string[]) => line[Titles.indexOf('CMD')] ?? line.at(-1))
  }

  const isOurs = (command: string) =>
    // Another start on this engine may ask just now what is mounted here.
    /agent\.cjs|^(node -p .*mountinfo|sleep infinity|\/\S*docker-init|bash -c trap)/.test(command)

  async function expectNothingLeft(): Promise<void> {
    expect((await processes()).filter((command) => !isOurs(command))).toEqual([])
    writeFileSync(at('go'), '')
    await sleep(LATER_MS)
    expect(readdirSync(bench.workspace).filter((name) => name.startsWith('left '))).toEqual([])
  }

  describe.each([
    ['of an ordinary user', TOOL_USER],
    ...(isRoot ? [['of root', { uid: 0, gid: 0 }] as const] : []),
  ] as const)('in a workspace %s', (_, owner) => {
    test(
      'nothing is left of what its tools have started, and the worker is',
      async () => {
        bench.server.play(bash('python3 leave.py all'), textAnswer())
        const conversation = await open(owner)

        const events = await eventsOf(conversation.run('Leave everything.'))

        expect(outputOf(events)).toMatch(/^exit code: 0/)
        expect(readdirSync(bench.workspace)).toEqual(
          expect.arrayContaining(KINDS.map((kind) => `begun ${kind}`)),
        )
        expect(events.at(-1)).toMatchObject({ type: 'finished', status: 'done' })
        expect(events.filter(({ type }) => type === 'notice')).toEqual([])
        expect((await processes()).filter((command) => / worker /.test(command))).toHaveLength(1)
        await expectNothingLeft()

        bench.server.play(bash('ps -eo args='), textAnswer())
        const seen = outputOf(await eventsOf(conversation.run('Look around.')))
        expect(seen).toContain('agent.cjs worker')
        expect(seen).not.toContain('leave.py')
      },
      LONG_MS,
    )

    test(
      'a session that the model was told of goes on and is named, and nothing that it has begun beside it',
      async () => {
        const command =
          'echo named\u001b[31m; python3 leave.py "in a session of its own"; until [ -e next ]; do sleep 0.01; done; echo read later'
        bench.server.play(bash(command, { yield_time_ms: 2000 }), textAnswer())
        const conversation = await open(owner)

        const events = await eventsOf(conversation.run('Begin something.'))

        const session = Number(/session id (\d+)/.exec(outputOf(events))?.[1])
        expect(events.slice(-2)).toMatchObject([
          {
            type: 'notice',
            message: `A command goes on in the background, as session ${session}: ${command.replace('\u001b', '\\x1b').slice(0, 99)}…`,
          },
          { type: 'finished', status: 'done' },
        ])
        expect((await processes()).filter((line) => /^python3 leave/.test(line))).toEqual([])
        writeFileSync(at('next'), '')
        bench.server.play(callsAnswer(['write_stdin', { session_id: session }]), textAnswer())
        const next = await eventsOf(conversation.run('And now?'))
        expect(outputOf(next)).toMatch(/^exit code: 0\n.*\nread later\n$/s)
        expect(next.filter(({ type }) => type === 'notice')).toEqual([])
        await expectNothingLeft()
      },
      LONG_MS,
    )

    test(
      'sessions end as well when it is the last run of its container',
      async () => {
        const command = 'echo begun; python3 leave.py "in a session of its own"; sleep 600'
        bench.server.play(bash(command, { yield_time_ms: 2000 }), textAnswer())
        const conversation = await open(owner)

        const events = await eventsOf(conversation.run('Begin something.', { oneShot: true }))

        expect(outputOf(events)).toMatch(/^running with session id/)
        expect(events.filter(({ type }) => type === 'notice')).toEqual([])
        expect(events.at(-1)).toMatchObject({ type: 'finished', status: 'done' })
        writeFileSync(at('go'), '')
        await sleep(LATER_MS)
        expect(readdirSync(bench.workspace).filter((name) => name.startsWith('left '))).toEqual([])
      },
      LONG_MS,
    )

    test(
      'everything goes when the worker does not answer, and that is said',
      async () => {
        bench.server.play(
          bash('sleep 600', { yield_time_ms: 250 }),
          bash('python3 leave.py halting'),
          SLOW_ANSWER,
        )
        const conversation = await open(owner)
        const run = conversation.run('Halt it.')
        await ended(2, run)
        writeFileSync(at('halt'), '')
        await there('halted')

        const events = await eventsOf(run)

        expect(events.at(-1)).toMatchObject({ type: 'finished', status: 'done' })
        expect(messagesOf(events)).toEqual([
          expect.stringMatching(/^The process .* did not answer/),
        ])
        await expectNothingLeft()
        bench.server.play(bash('echo hello'), textAnswer())
        expect(outputOf(await eventsOf(conversation.run('Go on.')))).toContain('hello')
      },
      LONG_MS,
    )

    test(
      'what multiplies faster than it can be ended is ended at once, or with its container',
      async () => {
        bench.server.play(bash('python3 leave.py multiplying'), SLOW_ANSWER)
        const conversation = await open(owner, { runMs: 40_000 })
        const run = conversation.run('Multiply.')
        await ended(1, run)
        writeFileSync(at('multiply'), '')
        await there('multiplied')

        const events = await eventsOf(run)

        const end = events.at(-1)
        expect(end?.type).toBe('finished')
        // Beside that, the run may have failed for any reason.
        const isLost = end?.type === 'finished' && end.error?.code === 'container-lost'
        if (!isLost) await expectNothingLeft()
        bench.server.play(bash('echo hello'), textAnswer())
        expect(outputOf(await eventsOf(conversation.run('Go on.')))).toContain('hello')
      },
      LONG_MS,
    )
  })

  test(
    'a run of which something cannot be ended has no end: its container goes',
    async () => {
      bench.server.play(bash('python3 leave.py "of no parent"'), textAnswer())
      const agentFile = bench.agentFile(`${POWERLESS}${readFileSync(realAgentFile, 'utf8')}`)
      const conversation = await open(TOOL_USER, {}, agentFile)

      const { status, error } = await conversation.run('Leave something.').result

      expect({ status, error }).toEqual({
        status: 'failed',
        error: {
          code: 'container-lost',
          message: expect.stringMatching(
            /exit code 3\. Its last words: "What the tools have left running cannot be ended/,
          ),
        },
      })
      writeFileSync(at('go'), '')
      await sleep(LATER_MS)
      expect(readdirSync(bench.workspace).filter((name) => name.startsWith('left '))).toEqual([])
    },
    LONG_MS,
  )

  test.each([
    ['interrupted', {}, [], 'interrupted'],
    ['out of time', { runMs: 3000 }, [bash('sleep 60')], 'run-timeout'],
    ['out of turns', { maxTurns: 1 }, [], undefined],
    ['refused', {}, [{ status: 400, body: { error: { message: 'No.' } } }], 'model-refused'],
  ] as const)(
    'nothing is left when the run is %s, either',
    async (how, limits, more, code) => {
      bench.server.play(bash('python3 leave.py all'), ...more)
      if (how === 'interrupted') bench.server.play(bash('touch waits; sleep 60'))
      const conversation = await open(TOOL_USER, limits)
      const run = conversation.run('Leave everything.')
      if (how === 'interrupted') {
        await there('waits')
        run.interrupt()
      }

      const end = (await eventsOf(run)).at(-1)

      expect(end).toMatchObject(
        how === 'interrupted'
          ? { status: 'interrupted' }
          : how === 'out of turns'
            ? { status: 'turn-limit' }
            : { status: 'failed', error: { code } },
      )
      await expectNothingLeft()
    },
    LONG_MS,
  )
})

async function eventsOf(run: Run): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  for await (const event of run) events.push(event)
  return events
}

/** Reads on until so many calls have ended. */
async function ended(calls: number, run: Run): Promise<void> {
  let count = 0
  for await (const { type } of run) {
    if (type === 'tool.finished') count++
    if (count === calls) return
  }
}

const outputOf = (events: readonly RunEvent[]) =>
  events
    .flatMap((event) =>
      event.type === 'item' && event.item.type === 'function_call_output'
        ? [event.item.output]
        : [],
    )
    .join('')

const messagesOf = (events: readonly RunEvent[]) =>
  events.flatMap((event) => (event.type === 'notice' ? [event.message] : []))

/** Begins a script in which the agent can end no process but the worker. */
const POWERLESS = `
if (process.argv[2] !== 'worker') {
  process.kill = () => true
  require('node:child_process').spawnSync = () => ({})
}
`

/** `all`, one of the kinds, or another of its functions; ends when all that it leaves has begun. */
const LEAVE = `
import ctypes, os, signal, sys, threading, time
def begun(kind): open('begun ' + kind, 'w').close()
def wait(kind):
    while not os.path.exists('go'): time.sleep(0.01)
    open('left ' + kind, 'w').close()
def begin_and_wait(kind):
    begun(kind)
    wait(kind)
def apart(act):
    if os.fork() == 0:
        os.setsid()
        for fd in (0, 1, 2): os.dup2(os.open('/dev/null', os.O_RDWR), fd)
        if os.fork() == 0: act()
        os._exit(0)
def session(kind):
    if os.fork() == 0:
        os.setsid()
        begin_and_wait(kind)
        os._exit(0)
def group(kind):
    if os.fork() == 0:
        os.setpgid(0, 0)
        begin_and_wait(kind)
        os._exit(0)
def deaf(kind):
    for number in set(range(1, 65)) - { 9, 19, 32, 33 }: signal.signal(number, signal.SIG_IGN)
    begin_and_wait(kind)
def halted(kind):
    begun(kind)
    os.kill(os.getpid(), signal.SIGSTOP)
    wait(kind)
def headless(kind):
    threading.Thread(target=begin_and_wait, args=(kind,)).start()
    ctypes.CDLL(None).syscall(60, 0)
def hopping(kind):
    begun(kind)
    while not os.path.exists('go'):
        if os.fork(): os._exit(0)
    wait(kind)
def halting():
    parent = os.getppid()
    def act():
        begun('halting')
        while not os.path.exists('halt'): time.sleep(0.01)
        for pid in (int(name) for name in os.listdir('/proc') if name.isdigit()):
            try: words = open('/proc/%d/cmdline' % pid).read().split('\\0')
            except OSError: continue
            if 'worker' in words: os.kill(pid, signal.SIGSTOP)
        open('halted', 'w').close()
        wait('halting')
    apart(act)
    return ['halting']
def multiplying():
    def act():
        begun('multiplying')
        while not os.path.exists('multiply'): time.sleep(0.01)
        for _ in range(5): os.fork()
        open('multiplied', 'w').close()
        until = time.monotonic() + 15
        while time.monotonic() < until:
            try: os.fork()
            except OSError: pass
    apart(act)
    return ['multiplying']
kinds = {
    'in a session of its own': session,
    'of no parent': lambda kind: apart(lambda: begin_and_wait(kind)),
    'in another group of the same session': group,
    'deaf to signals': lambda kind: apart(lambda: deaf(kind)),
    'halted': lambda kind: apart(lambda: halted(kind)),
    'whose first thread has ended': lambda kind: apart(lambda: headless(kind)),
    'hopping from number to number': lambda kind: apart(lambda: hopping(kind)),
}
def leave(names):
    for name in names: kinds[name](name)
    return names
asked = sys.argv[1]
left = globals()[asked]() if asked in ('halting', 'multiplying') else leave(list(kinds) if asked == 'all' else [asked])
while not all(os.path.exists('begun ' + kind) for kind in left): time.sleep(0.01)
`
