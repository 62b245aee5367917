import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import type { ToolLimits, ToolResult } from '../../container/worker/tool.ts'
import {
  type Cleanup,
  expectGone,
  isAlive,
  startWorker,
  type WorkerProcess,
} from './worker-process.ts'

/** What the command has put out. */
const printed = ({ output }: ToolResult) => output.split('\noutput:\n')[1] ?? ''

const sessionOf = ({ summary }: ToolResult) =>
  Number(/^running with session id (\d+)$/.exec(summary)?.[1])

const linux = { skip: process.platform !== 'linux' }

/** A worker with a command that has gone on as a session. */
async function workerWith(
  t: Cleanup,
  command: string,
  args: object = {},
  limits: Partial<ToolLimits> = {},
) {
  const worker = startWorker(t)
  const first = await begin(worker, command, args, limits)
  const session = sessionOf(first)
  return {
    ...worker,
    first,
    session,
    at: (name: string) => join(worker.workspace, name),
    look: (given: object = {}) => worker.call('write_stdin', { session_id: session, ...given }),
  }
}

/** Makes a session of a command, and waits for its `begun`, if it says so. */
async function begin(
  worker: WorkerProcess,
  command: string,
  args: object = {},
  limits: Partial<ToolLimits> = {},
): Promise<ToolResult> {
  let result = await worker.call('bash', { command, yield_time_ms: 400, ...args }, limits)
  // A busy machine may not have come to it yet.
  while (command.includes('echo begun') && !printed(result).includes('begun')) {
    result = await worker.call('write_stdin', { session_id: sessionOf(result) })
  }
  return result
}

/** Puts out `begun` and its process id, and goes on when `go` is there. */
const waiting = 'echo begun $$; until [ -e go ]; do sleep 0.01; done; echo "going on"; exit 3'

/** For many at a time, which would keep the machine from anything else. */
const calm = waiting.replace('sleep 0.01', 'sleep 0.2')

const pidOf = (result: ToolResult) => Number(/begun (\d+)/.exec(printed(result))?.[1])

describe.concurrent('a command that takes long', () => {
  test('goes on, and what it puts out and how it ends can be asked for', async (t) => {
    const { first, session, at, look } = await workerWith(t, waiting)
    expect(first.ok).toBe(true)
    expect(first.output).toMatch(
      /^running with session id \d{5}\nwall time: \d+\.\d+ s\noutput:\nbegun \d+\n$/,
    )
    const second = await look({ yield_time_ms: 250 })
    expect(second).toMatchObject({ ok: true, summary: `running with session id ${session}` })
    expect(printed(second)).toBe('')
    writeFileSync(at('go'), '')
    const third = await look()

    expect(third).toMatchObject({ ok: false, summary: 'exit code: 3' })
    expect(printed(third)).toBe('going on\n')
    expect(await look()).toMatchObject({
      ok: false,
      summary: `There is no session ${session}; its command has ended, or it never was.`,
    })
  })

  test('is known by its number beside others', async (t) => {
    const worker = startWorker(t)
    const numbers = Array.from({ length: 8 }, (_, n) => n)
    const sessions = await Promise.all(
      numbers.map(async (n) => {
        const command = `until [ -e go ]; do sleep 0.01; done; echo ${n}`
        return sessionOf(await worker.call('bash', { command, yield_time_ms: 250 }))
      }),
    )
    writeFileSync(join(worker.workspace, 'go'), '')
    const results = await Promise.all(
      sessions.map((session) => worker.call('write_stdin', { session_id: session })),
    )

    expect(new Set(sessions).size).toBe(8)
    expect(results.map(printed)).toEqual(numbers.map((n) => `${n}\n`))
  })

  test('keeps only head and tail of what nobody looks at', async (t) => {
    const command = 'until [ -e go ]; do sleep 0.01; done; yes | head -c 5000000; echo; echo last'
    const { at, look } = await workerWith(t, command, {}, { toolOutputBytes: 1000 })
    writeFileSync(at('go'), '')

    expect(printed(await look())).toMatch(/^(y\n)+\n\[… \d+ bytes of 5000006 left out here …\]\n/)
  })

  test('has a limit to its whole life', linux, async (t) => {
    const { first, look } = await workerWith(t, 'echo begun $$; sleep 60', {}, { toolMs: 2000 })
    const end = await look()

    expect(end).toMatchObject({ ok: false, summary: 'killed: still running after 2 s' })
    await expectGone([pidOf(first)])
  })

  test('may be longer than one argument, and leaves no file behind', async (t) => {
    const command = `: ${'x'.repeat(200_000)}; ${waiting}`
    const { at, look, workspace } = await workerWith(t, command)
    // TMPDIR of this worker is its workspace.
    expect(readdirSync(workspace)).toHaveLength(1)
    writeFileSync(at('go'), '')

    expect((await look()).summary).toBe('exit code: 3')
    expect(readdirSync(workspace)).toEqual(['go'])
  })

  test('can be looked at by two calls at once', async (t) => {
    const { at, look } = await workerWith(t, waiting)
    const looks = [look(), look()]
    writeFileSync(at('go'), '')
    const results = await Promise.all(looks)

    expect(results.map(({ summary }) => summary)).toEqual(['exit code: 3', 'exit code: 3'])
    expect(results.map(printed).join('')).toBe('going on\n')
  })
})

describe.concurrent('the input of a command', () => {
  const cat = 'while read -r line; do echo "<$line>"; done; echo over; exit 5'

  test('can be sent and closed', async (t) => {
    const { look, session } = await workerWith(t, cat, { open_stdin: true })
    const one = await look({ chars: 'ä one\n', yield_time_ms: 1000 })
    expect(one.summary).toBe(`running with session id ${session}`)
    expect(printed(one)).toBe('<ä one>\n')
    const two = await look({ chars: 'two\n\u0004', yield_time_ms: 10_000 })

    expect(two.summary).toBe('exit code: 5')
    expect(printed(two)).toBe('<two>\nover\n')
  })

  test('makes no shell run what is meant for logins', async (t) => {
    const worker = startWorker(t)
    writeFileSync(join(worker.workspace, '.bashrc'), 'echo planted\n')
    const { output } = await worker.call('bash', { command: 'echo said', open_stdin: true })

    expect(output).toMatch(/said/)
    expect(output).not.toMatch(/planted/)
  })

  test('is at its end when it was not to be kept open, so that nothing waits for it', async (t) => {
    const { look, first, at } = await workerWith(t, `${cat.replace('exit 5', waiting)}`)
    expect(printed(first)).toMatch(/^over\nbegun/)
    const refused = await look({ chars: 'x' })
    expect(refused).toMatchObject({ ok: false, output: expect.stringContaining('open_stdin') })

    writeFileSync(at('go'), '')
    expect((await look()).summary).toBe('exit code: 3')
  })

  test('that is not read is not taken without end', async (t) => {
    const { look } = await workerWith(t, waiting, { open_stdin: true })
    const chars = 'x'.repeat(600_000)

    expect((await look({ chars, yield_time_ms: 250 })).ok).toBe(true)
    expect((await look({ chars, yield_time_ms: 250 })).output).toContain('has not read the input')
    expect((await look({ end: true })).summary).toBe('killed: as asked')
  })

  test('does no harm when the command has closed it', async (t) => {
    const { look, at } = await workerWith(t, `exec <&-; ${waiting}`, { open_stdin: true })
    await look({ chars: 'x\n', yield_time_ms: 250 })
    await look({ chars: 'x\n', yield_time_ms: 250 })
    writeFileSync(at('go'), '')

    expect((await look()).summary).toBe('exit code: 3')
  })
})

describe.concurrent('a command can be ended', linux, () => {
  test('by asking for it, with all that it started', async (t) => {
    const { first, look } = await workerWith(t, 'sleep 60 & echo begun $!; trap "" INT TERM; wait')
    const end = await look({ end: true })

    expect(end).toMatchObject({ ok: true, summary: 'killed: as asked' })
    await expectGone([pidOf(first)])
  })

  test('by interrupting it, which it may answer', async (t) => {
    const command = `trap 'echo interrupted; exit 7' INT; ${waiting}`
    const { look } = await workerWith(t, command)
    const end = await look({ chars: '\u0003', yield_time_ms: 10_000 })

    expect(end.summary).toBe('exit code: 7')
    expect(printed(end)).toContain('interrupted\n')
  })

  test('by the interruption of the run, though no call waits for it', async (t) => {
    const { first, look, cancel, call } = await workerWith(t, 'echo begun $$; sleep 60')
    expect(isAlive(pidOf(first))).toBe(true)
    cancel()

    await expectGone([pidOf(first)])
    expect(await look()).toMatchObject({ ok: false, summary: 'killed: the run was interrupted' })
    expect((await call('bash', { command: 'true' })).ok).toBe(true)
  })

  test('by the interruption of the run, while a call waits for it', async (t) => {
    const { first, look, cancel, call } = await workerWith(t, 'echo begun $$; sleep 60')
    const waits = look()
    // Calls are begun in their order.
    await call('list_files', {})
    cancel()

    expect((await waits).summary).toBe('killed: the run was interrupted')
    await expectGone([pidOf(first)])
  })

  test('by the end of the worker', async (t) => {
    const { first, stop } = await workerWith(t, 'echo begun $$; sleep 60')
    await stop()

    await expectGone([pidOf(first)])
  })
})

describe.concurrent('sessions', () => {
  test('are so many and no more; one more command is waited for', async (t) => {
    const worker = startWorker(t)
    const sessions = await Promise.all(Array.from({ length: 16 }, () => begin(worker, calm)))
    expect(sessions.every((result) => sessionOf(result) > 0)).toBe(true)
    const call = (command: string) => worker.call('bash', { command, yield_time_ms: 250 })
    const oneMore = call(`touch there; ${waiting}`)
    await vi.waitFor(() => expect(existsSync(join(worker.workspace, 'there'))).toBe(true), 5000)
    expect((await call('sleep 0.4; echo done')).summary).toBe('exit code: 0')
    writeFileSync(join(worker.workspace, 'go'), '')

    expect((await oneMore).summary).toBe('exit code: 3')
    for (const session of sessions.map(sessionOf)) {
      expect((await worker.call('write_stdin', { session_id: session })).summary).toBe(
        'exit code: 3',
      )
    }
  })

  test('whose end nobody has asked for make room for others', async (t) => {
    const worker = startWorker(t)
    const batch = () => Promise.all(Array.from({ length: 16 }, () => begin(worker, calm)))
    const old = await batch()
    writeFileSync(join(worker.workspace, 'go'), '')
    await expectGone(old.map(pidOf))
    rmSync(join(worker.workspace, 'go'))
    const fresh = await batch()

    expect(fresh.map(sessionOf).every((id) => id > 0)).toBe(true)
    for (const result of old) {
      const look = await worker.call('write_stdin', { session_id: sessionOf(result) })
      expect(look.output).toContain('There is no session')
    }
    for (const result of fresh) {
      const end = await worker.call('write_stdin', { session_id: sessionOf(result), end: true })
      expect(end.summary).toBe('killed: as asked')
    }
  })

  test.for([
    [{}, '"session_id" must be an integer'],
    [{ session_id: '1' }, '"session_id" must be an integer'],
    [{ session_id: -1 }, '"session_id" must be an integer'],
    [{ session_id: 1 }, 'There is no session 1'],
    [{ session_id: 1, chars: 7 }, 'There is no session 1'],
  ] as const)('are not found by %j', async ([args, message], t) => {
    const result = await startWorker(t).call('write_stdin', args)

    expect(result).toMatchObject({ ok: false, output: expect.stringContaining(message) })
  })

  test('are not harmed by arguments of other types', async (t) => {
    const { look, at } = await workerWith(t, waiting, { open_stdin: true })
    for (const given of [{ chars: 7 }, { yield_time_ms: 'x' }, { end: 'yes' }]) {
      expect((await look(given)).output).toMatch(/^error: The argument/)
    }
    writeFileSync(at('go'), '')

    expect((await look({ chars: null, yield_time_ms: 1, end: null })).ok).toBeDefined()
  })
})

describe.concurrent('what a tool puts out while it runs', () => {
  test('is there before it has ended', async (t) => {
    const worker = startWorker(t)
    let seen = ''
    const command = `echo begun; ${waiting}`
    const call = worker.call('bash', { command }, {}, (text) => {
      seen += text
    })
    await vi.waitFor(() => expect(seen).toContain('begun'), 5000)
    writeFileSync(join(worker.workspace, 'go'), '')

    expect(printed(await call)).toBe(seen)
  })

  test('is seen by the call that waits for a session, from the last look on', async (t) => {
    const { call, session, at } = await workerWith(
      t,
      `${waiting.replace('exit', 'echo more; exit')}`,
    )
    writeFileSync(at('go'), '')
    let seen = ''
    const result = await call('write_stdin', { session_id: session }, {}, (text) => {
      seen += text
    })

    expect(seen).toBe('going on\nmore\n')
    expect(printed(result)).toBe(seen)
  })

  test('is seen though it came while no call waited', async (t) => {
    const late = 'until [ -e go ]; do sleep 0.01; done; echo late; touch said; sleep 60'
    const { call, session, at } = await workerWith(t, `echo begun; ${late}`)
    writeFileSync(at('go'), '')
    await vi.waitFor(() => expect(existsSync(at('said'))).toBe(true), 5000)
    let seen = ''
    await call('write_stdin', { session_id: session, yield_time_ms: 250 }, {}, (text) => {
      seen += text
    })

    expect(seen).toBe('late\n')
  })

  test('is thinned when it is a flood', async (t) => {
    const seen: string[] = []
    const limits = { toolMs: 1000 }
    await startWorker(t).call('bash', { command: 'yes' }, limits, (text) => seen.push(text))

    expect(seen.length).toBeGreaterThan(1)
    expect(seen.length).toBeLessThan(15)
    expect(Math.max(...seen.map(({ length }) => length))).toBeLessThan(8300)
  })
})
