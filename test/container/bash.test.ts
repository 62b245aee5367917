import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import type { ToolResult } from '../../container/worker/tool.ts'
import { expectGone, isAlive, startWorker } from './worker-process.ts'

/** What the command printed. */
const printed = ({ output }: ToolResult) => output.split('\noutput:\n')[1] ?? ''

/** The process ids it printed. */
const pids = (result: ToolResult) => printed(result).trim().split(/\s+/).map(Number)

const linux = { skip: process.platform !== 'linux' }

describe.concurrent('the outcome of a command', () => {
  test.for([
    ['true', true, 'exit code: 0'],
    ['exit 3', false, 'exit code: 3'],
    ['no-such-command', false, 'exit code: 127'],
    ['if', false, 'exit code: 2'],
    ['kill -TERM $$', false, 'killed by SIGTERM'],
    ['kill -9 $$', false, 'killed by SIGKILL'],
    ['kill -SEGV $$', false, 'killed by SIGSEGV'],
    ['(kill -9 $BASHPID); echo $?', true, 'exit code: 0'],
  ] as const)('of %j is told', async ([command, ok, outcome], t) => {
    const result = await startWorker(t).call('bash', { command })

    expect(result).toMatchObject({ ok, summary: outcome })
    expect(result.output).toMatch(`${outcome}\nwall time: `)
  })

  test.for([
    ['echo out; echo err >&2; printf "ä€😀"', 'out\nerr\nä€😀'],
    ['for i in $(seq 50); do echo o; echo e >&2; done', 'o\ne\n'.repeat(50)],
    ['set -x; echo building; false', '+ echo building\nbuilding\n+ false\n'],
    ['ls none || (exec >&2; echo sub); echo last', 'ls: cannot access none\nsub\nlast\n'],
  ] as const)(
    'has stdout and stderr in the order in which they were written: %s',
    async ([command, text], t) => {
      const worker = startWorker(t)
      let live = ''
      const result = await worker.call('bash', { command }, {}, (chunk) => {
        live += chunk
      })

      const withoutReason = (output: string) => output.replace(/access '?none'?:.*/, 'access none')
      expect(withoutReason(printed(result))).toBe(text)
      expect(withoutReason(live)).toBe(text)
    },
  )

  test('is that of the environment as it is, functions and odd names among it', async (t) => {
    const wrapped = 'f() { echo "a function"; }; export -f f; exec env odd/name=1 "$@"'
    const command = 'f; env | grep ^odd; echo $0 $SHLVL $#'
    const result = await startWorker(t, { wrapped }).call('bash', { command })

    expect(printed(result)).toBe('a function\nodd/name=1\nbash 2 0\n')
  })

  test('is that of a fresh shell in the workspace', async (t) => {
    const worker = startWorker(t)
    await worker.call('bash', { command: 'cd /; x=1' })

    expect(printed(await worker.call('bash', { command: 'echo "$PWD$x"' }))).toBe(
      `${worker.workspace}\n`,
    )
  })

  test('does not wait for input', async (t) => {
    const result = await startWorker(t).call('bash', { command: 'cat; read x; echo "at its end"' })

    expect(printed(result)).toBe('at its end\n')
  })

  test('of calls side by side is not mixed up', async (t) => {
    const worker = startWorker(t)
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        worker.call('bash', { command: `echo ${n}; exit ${n}` }),
      ),
    )

    expect(results.map(printed)).toEqual(results.map((_, n) => `${n}\n`))
    expect(results.map(({ summary }) => summary)).toEqual(results.map((_, n) => `exit code: ${n}`))
  })
})

describe.concurrent('a command line', () => {
  test('may be longer than the kernel takes for one argument', async (t) => {
    const worker = startWorker(t)
    const command = `word=${'x'.repeat(600 * 1024)}; echo \${#word} $#; exit 4`
    const result = await worker.call('bash', { command })

    expect(printed(result)).toBe('614400 0\n')
    expect(result.summary).toBe('exit code: 4')
    // TMPDIR of this worker is its workspace.
    expect(readdirSync(worker.workspace)).toEqual([])
  })

  test.for([
    [{ command: 'touch made\0; true' }, 'NUL'],
    [{}, '"command" must be a string'],
    [{ command: 7 }, '"command" must be a string'],
    [{ command: 'touch made', timeout_ms: 0 }, '"timeout_ms" must be an integer'],
    [{ command: 'touch made', timeout_ms: 1.5 }, '"timeout_ms" must be an integer'],
    [{ command: 'touch made', timeout_ms: '5' }, '"timeout_ms" must be an integer'],
    [{ command: 'touch made', timeout_ms: 1e300 }, '"timeout_ms" must be an integer'],
    [['touch made'], 'must be a JSON object'],
    [null, 'must be a JSON object'],
  ] as const)('%j is refused and not run', async ([args, message], t) => {
    const worker = startWorker(t)
    const result = await worker.call('bash', args)

    expect(result.ok).toBe(false)
    expect(result.output).toMatch(/^error: /)
    expect(result.output).toContain(message)
    expect(readdirSync(worker.workspace)).toEqual([])
  })

  test('may say null for a timeout that it does not give', async (t) => {
    const result = await startWorker(t).call('bash', { command: 'true', timeout_ms: null })

    expect(result.summary).toBe('exit code: 0')
  })
})

describe.concurrent('a long output', () => {
  test('is clipped to head and tail', async (t) => {
    const limits = { toolOutputBytes: 1000 }
    const command = 'echo first; yes | head -c 50000000; echo; echo last'
    const result = await startWorker(t).call('bash', { command }, limits)

    expect(result.summary).toBe('exit code: 0')
    expect(printed(result)).toMatch(/^first\n(y\n)+/)
    expect(printed(result)).toMatch(/\n\[… \d+ bytes of 50000012 left out here …\]\n/)
    expect(printed(result)).toMatch(/(y\n)+\nlast\n$/)
    expect(printed(result).length).toBeLessThan(1100)
  })

  test('without end is ended by the timeout, with what there was', async (t) => {
    const limits = { toolOutputBytes: 1000, toolMs: 500 }
    const result = await startWorker(t).call(
      'bash',
      { command: 'cat /dev/zero | tr "\\0" z' },
      limits,
    )

    expect(result.summary).toBe('killed: still running after 0.5 s')
    expect(printed(result)).toMatch(/^z+\n.* left out here …\]\nz+$/)
  })
})

describe.concurrent('what a command starts', linux, () => {
  const tree = 'sleep 60 & echo $!; (sleep 60 & echo $!; trap "" TERM HUP INT; sleep 60) & echo $!;'

  test('ends with it', async (t) => {
    const command = 'for i in $(seq 200); do sleep 60 & done; jobs -p; exit 0'
    const result = await startWorker(t).call('bash', { command }, { toolOutputBytes: 100_000 })

    expect(result.summary).toBe('exit code: 0')
    expect(pids(result)).toHaveLength(200)
    await expectGone(pids(result))
  })

  test('ends when the time is up', async (t) => {
    const command = `${tree} sleep 60`
    const result = await startWorker(t).call('bash', { command, timeout_ms: 400 })

    expect(result).toMatchObject({ ok: false, summary: 'killed: still running after 0.4 s' })
    expect(pids(result)).toHaveLength(3)
    await expectGone(pids(result))
  })

  test('cannot have more time than the limit', async (t) => {
    const command = 'echo $$; sleep 60'
    const result = await startWorker(t).call(
      'bash',
      { command, timeout_ms: 2 ** 40 },
      { toolMs: 300 },
    )

    expect(result.summary).toBe('killed: still running after 0.3 s')
    await expectGone(pids(result))
  })

  test('ends when the run is interrupted, in every call', async (t) => {
    const worker = startWorker(t)
    const begun = ['one', 'two'].map((name) => join(worker.workspace, name))
    const command = (file?: string) => `${tree} echo $$; touch ${file}; sleep 60`
    const calls = begun.map((file) => worker.call('bash', { command: command(file) }))
    await vi.waitFor(() => expect(readdirSync(worker.workspace)).toHaveLength(2), 10_000)
    worker.cancel()

    for (const result of await Promise.all(calls)) {
      expect(result).toMatchObject({ ok: false, summary: 'killed: the run was interrupted' })
      await expectGone(pids(result))
    }
    expect((await worker.call('bash', { command: 'sleep 0.2' })).ok).toBe(true)
  })

  test('does not hold the call when it has left the group and keeps the pipes', async (t) => {
    const daemon = `setsid sh -c 'touch left; exec sleep 30' & disown`
    const command = `${daemon}; until [ -e left ]; do sleep 0.01; done; echo $!`
    const result = await startWorker(t).call('bash', { command })
    const [pid = 0] = pids(result)

    expect(result.summary).toBe('exit code: 0')
    expect(Number(/wall time: (\S+) s/.exec(result.output)?.[1])).toBeLessThan(5)
    expect(isAlive(pid)).toBe(true)
    process.kill(pid)
  })

  test('ends with the worker, when the agent is gone', async (t) => {
    const worker = startWorker(t)
    const file = join(worker.workspace, 'pid')
    const call = worker.call('bash', { command: `${tree} echo $$ > pid; sleep 60` })
    const shell = await vi.waitFor(() => {
      expect(readFileSync(file, 'utf8')).toMatch(/\n$/)
      return Number(readFileSync(file, 'utf8'))
    }, 10_000)
    await Promise.all([worker.stop(), call.catch(() => {})])

    await expectGone([shell])
  })
})
