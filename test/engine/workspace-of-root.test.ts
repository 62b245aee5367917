import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import { openConversation } from '../../host/open-conversation.ts'
import { derivedImages } from '../derived-images.ts'
import { isFull } from '../full-size.ts'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'
import {
  cleanUp,
  engineOfRoot,
  later,
  startAgent,
  testEngineContract,
  until,
} from './engine-contract.ts'
import { startHost } from './host-process.ts'

const SIGNALS = Array.from({ length: 64 }, (_, index) => index + 1)
/** Those that end, halt or continue a process by default in each of their ways, and one that nobody uses. */
const SOME_SIGNALS = [1, 2, 3, 9, 10, 15, 18, 19, 20, 21, 22, 34]
const GONE_MS = 10_000
/** As many hosts at a time. */
const BESIDE = 4

describeWithEngine('in a workspace of root', ({ docker, image, source, isRootless }) => {
  const isRoot = process.getuid?.() === 0
  const engine = engineOfRoot(dockerEngine(docker, image, source))
  const images = derivedImages(docker, image)

  afterEach(cleanUp)
  afterAll(() => withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] }))

  function aFolder(): string {
    const folder = mkdtempSync(join(tmpdir(), 'codexbox-of-root-'))
    later(() => rmSync(folder, { recursive: true, force: true }))
    return folder
  }

  /** What `command` prints when a tool runs it. */
  async function printed(command: string, files: Record<string, string> = {}): Promise<string> {
    const { begin, events, workspace } = await startAgent(engine)
    for (const [name, text] of Object.entries(files)) writeFileSync(join(workspace, name), text)
    begin(`run: { ${command}\n} > .printed 2>&1`)
    expect(await until(events, 'finished')).toMatchObject({ status: 'done' })
    return readFileSync(join(workspace, '.printed'), 'utf8')
  }

  describe.runIf(isRoot && !isRootless)('the engine', () => {
    testEngineContract(engine)

    test('has tools be root without any right, and the agent somebody else', async () => {
      const seen = JSON.parse(await printed('python3 look.py', { 'look.py': FIND_AGENT + LOOK }))

      expect(seen).toEqual({
        own: { uid: 0, rights: [0, 0, 0, 0, 0] },
        others: ['first', 'agent'].map((who) => ({
          who,
          uid: 65532,
          tries: {
            environ: 'EACCES',
            mem: 'EACCES',
            fd: 'EACCES',
            'fd/0': 'EACCES',
            'fd/1': 'EACCES',
            oom_score_adj: 'EACCES',
            priority: 'EPERM',
            limits: 'EPERM',
          },
          signals: Object.fromEntries(SIGNALS.map((signal) => [signal, 'EPERM'])),
        })),
      })
    })

    test.each(['027', '077'])(
      'lets it get to the mounted socket with a umask of %s',
      async (umask) => {
        const before = process.umask(Number.parseInt(umask, 8))
        const { agent, begin, events } = await startAgent(engine).finally(() =>
          process.umask(before),
        )
        begin('run: true')

        expect(await until(events, 'finished')).toMatchObject({ status: 'done' })
        expect(agent.relayed).toBeUndefined()
      },
    )

    test('has what tools leave behind reaped', async () => {
      const leave = 'for i in 1 2 3 4 5 6 7 8 9; do (setsid sleep 0.1 &); done'

      expect(
        await printed(
          `${leave}; sleep 1; ps -eo stat=,args= | grep -E '^Z|sleep' | grep -v grep || echo none`,
        ),
      ).toBe('none\n')
    })

    // fcntl(2) lets whoever is root by number have any signal sent to anybody.
    test('is left with nothing of a host that is killed, whatever signal its tools send to whom', async () => {
      const left: number[] = []
      let slowest = 0
      // Each to its end before the next: a host that starts removes what others have left.
      const tried = isFull ? SIGNALS : SOME_SIGNALS
      for (let first = 0; first < tried.length; first += BESIDE) {
        const signals = tried.slice(first, first + BESIDE)
        const hosts = await Promise.all(signals.map(aSignalledHost))
        const goneAfter = await Promise.all(hosts.map(({ kill }) => kill()))
        left.push(...signals.filter((_, index) => (goneAfter[index] ?? Infinity) > GONE_MS))
        slowest = Math.max(slowest, ...goneAfter)
      }
      console.log(`${tried.length} signals: the slowest was gone after ${slowest} ms`)

      expect(left).toEqual([])
    }, 300_000)

    /** With a tool that sends it. `kill` resolves with the time after which the container was gone. */
    async function aSignalledHost(signal: number) {
      const [workspace, folder] = [aFolder(), aFolder()]
      writeFileSync(join(workspace, 'send.py'), FIND_AGENT + SEND)
      const host = startHost(
        {
          prompt: `run: exec python3 send.py ${signal}`,
          workspace,
          settings: { provider: 'demo', engine: 'docker', image, dataDir: join(folder, 'data') },
        },
        { env: { TMPDIR: folder } },
      )
      later(() => host.child.kill('SIGKILL'))
      const { runId } = await host.until('tool.started')
      await vi.waitFor(() => expect(existsSync(join(workspace, 'sent'))).toBe(true), 20_000)
      // It goes on with it; some have come by now, and the run may even be over.
      await sleep(100)

      async function kill(): Promise<number> {
        const filters = { name: [`codexbox-${runId}`] }
        const killedAt = performance.now()
        host.child.kill('SIGKILL')
        while ((await docker.listContainers({ all: true, filters })).length > 0) {
          if (performance.now() - killedAt > GONE_MS) {
            await docker.getContainer(`codexbox-${runId}`).remove({ force: true })
            break
          }
          await sleep(50)
        }
        return Math.round(performance.now() - killedAt)
      }
      return { kill }
    }

    test('ends the run typed when its tools halt the agent', async () => {
      const { agent, begin, workspace } = await startAgent(engine)
      agent.stdout.resume()
      writeFileSync(join(workspace, 'send.py'), FIND_AGENT + SEND)

      begin('run: python3 send.py 19')

      expect(await agent.exited).toEqual({ code: 128 + 19, signal: null })
    })

    test.each([
      ['has no setpriv', 'RUN rm "$(command -v setpriv)"', 'there is no setpriv in the image'],
      [
        'has one that knows less',
        `RUN printf '#!/bin/sh\\necho "setpriv: unrecognized option: reuid=1" >&2; exit 1\\n' > "$(command -v setpriv)"`,
        'setpriv says: "unrecognized option: reuid=1"',
      ],
    ])('refuses an image that %s, in one sentence', async (_, change, why) => {
      const workspace = aFolder()
      const conversation = await openConversation({
        workspace,
        settings: {
          provider: 'demo',
          engine: 'docker',
          image: await images.derive([change]),
          dataDir: aFolder(),
        },
      })
      later(() => conversation.close())

      const { status, turns, error } = await conversation.run('run: touch here').result

      expect({ status, turns, error }).toEqual({
        status: 'failed',
        turns: 0,
        error: {
          code: 'image-unusable',
          message:
            `The tools cannot be kept apart from the agent: both would be user 0, and ${why}. ` +
            'Use an image with setpriv (util-linux), or a workspace that belongs to an ordinary user.',
        },
      })
      expect(existsSync(join(workspace, 'here'))).toBe(false)
    })

    test.each([
      ['node', 'RUN rm "$(command -v node)"'],
      ['bash', 'RUN rm "$(command -v bash)"; rm -f /bin/bash'],
    ])('refuses an image without %s as any other', async (_, change) => {
      const conversation = await openConversation({
        workspace: aFolder(),
        settings: {
          provider: 'demo',
          engine: 'docker',
          image: await images.derive([change]),
          dataDir: aFolder(),
        },
      })
      later(() => conversation.close())

      expect((await conversation.run('hello').result).error).toMatchObject({
        code: 'image-unusable',
        message: expect.stringMatching(
          /cannot run node .* Use an image with Node 20 or newer and bash/,
        ),
      })
    })
  })
})

const FIND_AGENT = `
import ctypes, errno, fcntl, json, os, resource, signal, sys, time
read = lambda path: open(path).read()
def agent():
    for pid in (int(name) for name in os.listdir('/proc') if name.isdigit() and name != '1'):
        try: words = read('/proc/%d/cmdline' % pid).split('\\0')
        except OSError: continue
        if words[0].endswith('node') and words[1].endswith('agent.cjs') and words[2] != 'worker': return pid
AGENT = agent()
`

/** Asks for everything, and tells what came of it. */
const LOOK = `
def outcome(act):
    try: act()
    except OSError as error: return errno.errorcode[error.errno]
    return 'done'
def look(who, pid):
    at = '/proc/%d/' % pid
    opened = lambda name, how: outcome(lambda: os.close(os.open(at + name, how | os.O_NONBLOCK)))
    return {
        'who': who,
        'uid': os.stat(at).st_uid,
        'tries': {
            'environ': opened('environ', os.O_RDONLY),
            'mem': opened('mem', os.O_RDONLY),
            'fd': outcome(lambda: os.listdir(at + 'fd')),
            'fd/0': opened('fd/0', os.O_RDONLY),
            'fd/1': opened('fd/1', os.O_WRONLY),
            'oom_score_adj': opened('oom_score_adj', os.O_WRONLY),
            'priority': outcome(lambda: os.setpriority(os.PRIO_PROCESS, pid, 19)),
            'limits': outcome(lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE)),
        },
        'signals': { number: outcome(lambda: os.kill(pid, number)) for number in range(1, 65) },
    }
status = dict(line.split(':\\t', 1) for line in read('/proc/self/status').splitlines() if ':\\t' in line)
own = { 'uid': os.getuid(), 'rights': [int(status['Cap' + of], 16) for of in ('Inh', 'Prm', 'Eff', 'Bnd', 'Amb')] }
print(json.dumps({ 'own': own, 'others': [look('first', 1), look('agent', AGENT)] }))
`

/** Has a signal sent to both, and again and again, each time that a pipe has something to read. */
const SEND = `
number = int(sys.argv[1])
for ignored in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(ignored, signal.SIG_IGN)
pipes = []
for pid in (1, AGENT):
    reads, writes = os.pipe()
    fcntl.fcntl(reads, fcntl.F_SETOWN, pid)
    fcntl.fcntl(reads, 10, number) # F_SETSIG
    fcntl.fcntl(reads, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    pipes.append((reads, writes))
# Both are signalled at once when it begins; whoever waits for it has to hear of it before.
open('sent', 'w').close()
while True:
    for reads, writes in pipes:
        os.write(writes, b'x')
        os.read(reads, 1)
    time.sleep(0.005)
`
