import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { dockerEngine } from '../../host/engine/docker-engine.ts'
import { openConversation } from '../../host/open-conversation.ts'
import type { RunEvent } from '../../shared/protocol.ts'
import { describeWithEngine, withoutLeftovers } from '../real-engine.ts'
import { aWorkspace, cleanUp, engineOfRoot, later, startAgent, until } from './engine-contract.ts'

const LONG_MS = 120_000

describeWithEngine('memory that belongs to no process', ({ docker, image, source, isRootless }) => {
  const usual = dockerEngine(docker, image, source)
  const isRoot = process.getuid?.() === 0 && !isRootless

  afterEach(cleanUp)
  afterAll(() => withoutLeftovers(docker, { label: [`codexbox.pid=${process.pid}`] }))

  describe.each([
    ['of an ordinary user', usual],
    ...(isRoot ? [['of root', engineOfRoot(usual)] as const] : []),
  ] as const)('in a workspace %s', (_, engine) => {
    test(
      'costs the tools that fill it and not the agent, which tells the model and goes on',
      async () => {
        const { begin, events, workspace } = await startAgent(engine)
        writeFileSync(join(workspace, 'fill.py'), FILL)

        begin('run: python3 fill.py; echo survived > survived')
        const [output, end] = await outputAndEnd(events)
        begin('run: cat /proc/self/oom_score_adj > score; cat score')
        const next = await until(events, 'finished')

        expect(output).toMatch(/was lost \(it ended with SIGKILL|exit code: 137/)
        expect(end.status).toBe('done')
        expect(next).toMatchObject({ status: 'done', toolCalls: 1 })
        expect(readFileSync(join(workspace, 'score'), 'utf8')).toBe('1000\n')
      },
      LONG_MS,
    )
  })

  test('of System V goes with the last process that has it', async () => {
    const { begin, events, workspace } = await startAgent(usual)
    writeFileSync(join(workspace, 'share.py'), SHARE)

    begin('run: python3 share.py > made; cat /proc/sysvipc/shm > left')
    await until(events, 'finished')

    const linesOf = (name: string) => readFileSync(join(workspace, name), 'utf8').trim().split('\n')
    expect(linesOf('made')).toHaveLength(2)
    expect(linesOf('left')).toHaveLength(1)
  })

  test(
    'may cost the agent where tools lower their own score first: the run is container-lost then',
    async () => {
      const workspace = aWorkspace()
      writeFileSync(join(workspace, 'fill.py'), `${LOWER}\n${FILL}`)
      const dataDir = mkdtempSync(join(tmpdir(), 'codexbox-data-'))
      later(() => rmSync(dataDir, { recursive: true, force: true }))
      const settings = { provider: 'demo', engine: 'docker', image, dataDir } as const
      const conversation = await openConversation({ workspace, settings })
      later(() => conversation.close())

      const run = conversation.run(
        'run: for i in 1 2 3 4 5 6 7 8; do setsid python3 fill.py & done; wait',
      )
      const [output, end] = await outputAndEnd(run[Symbol.asyncIterator]())
      const next = await conversation.run('run: echo hello').result

      // The agent may also have been faster than the kernel.
      if (end.status === 'done') expect(output).toContain('was lost')
      else expect(end).toMatchObject({ status: 'failed', error: { code: 'container-lost' } })
      expect(next.status).toBe('done')
    },
    LONG_MS,
  )
})

async function outputAndEnd(events: AsyncGenerator<RunEvent>) {
  let output = ''
  for (;;) {
    const { value: event, done } = await events.next()
    if (done) throw new Error('The output ended without an end of the run')
    if (event.type === 'item' && event.item.type === 'function_call_output') {
      output += String(event.item.output)
    }
    if (event.type === 'finished') return [output, event] as const
  }
}

const LOWER = `open('/proc/self/oom_score_adj', 'w').write('0')`

const FILL = `
import os
fd = os.memfd_create('x')
for _ in range(4096): os.write(fd, bytes(1 << 20))
`

/** A segment of shared memory, with the head of their table; it is made and never removed. */
const SHARE = `
import ctypes
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
segment = libc.shmget(0, 64 * 1024 * 1024, 0o1600)
ctypes.memset(libc.shmat(segment, None, 0), 1, 1024)
print(open('/proc/sysvipc/shm').read())
`
