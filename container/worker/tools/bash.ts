import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClippedOutput } from '../clipped-output.ts'
import { type Tool, type ToolContext, ToolError, type ToolResult } from '../tool.ts'

export const bash: Tool = {
  name: 'bash',
  description:
    'Run a command with bash in the workspace and get its exit code and its output (stdout and ' +
    'stderr merged; of a long output the head and the tail are kept). Each call is a fresh shell: ' +
    'directory changes and variables do not carry over. There is no terminal and no input. ' +
    'Everything the command started is ended when it returns or its time is up, so a server has ' +
    'to be started and used in the same call.',
  parameters: {
    type: 'object',
    properties: {
      command: { type: 'string', description: 'The command line, any length, as for `bash -c`.' },
      timeout_ms: {
        type: 'integer',
        minimum: 1,
        description: 'End the command after this many milliseconds; cannot exceed the default.',
      },
    },
    required: ['command'],
    additionalProperties: false,
  },

  async run(args, context) {
    const command = args.string('command')
    const timeoutMs = Math.min(
      args.optionalInteger('timeout_ms', 1) ?? Number.POSITIVE_INFINITY,
      context.limits.toolMs,
    )
    // NUL ends an argument; bash would run the first half of what was meant.
    if (command.includes('\0')) throw new ToolError('The command contains a NUL character.')
    if (Buffer.byteLength(command) <= MAX_ARGUMENT_BYTES) {
      return execute(['-c', command], timeoutMs, context)
    }
    const folder = await mkdtemp(join(tmpdir(), 'command-'))
    try {
      const script = join(folder, 'command.sh')
      await writeFile(script, command, { mode: 0o600 })
      return await execute([script], timeoutMs, context)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
}

/** Linux takes 128 KiB for one argument (MAX_ARG_STRLEN) and fails with E2BIG above. */
const MAX_ARGUMENT_BYTES = 100 * 1024

/** How long output may still come in after the shell has exited. */
const DRAIN_MS = 250

type End = { code: number | null; signal: NodeJS.Signals | null; stoppedBy?: 'timeout' | 'abort' }

async function execute(
  bashArgs: string[],
  timeoutMs: number,
  { workspace, limits, signal }: ToolContext,
): Promise<ToolResult> {
  const started = performance.now()
  const output = new ClippedOutput(limits.toolOutputBytes)
  // `detached` makes the shell the leader of a process group of its own, which can be killed whole.
  const child = spawn('bash', bashArgs, {
    cwd: workspace,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => output.push(chunk))

  const end = await endOf(child, timeoutMs, signal)

  const seconds = ((performance.now() - started) / 1000).toFixed(2)
  const outcome = describe(end, timeoutMs)
  return {
    ok: end.code === 0,
    output: `${outcome}\nwall time: ${seconds} s\noutput:\n${output}`,
    summary: outcome,
  }
}

function describe(end: End, timeoutMs: number): string {
  if (end.stoppedBy === 'timeout') return `killed: still running after ${timeoutMs / 1000} s`
  if (end.stoppedBy === 'abort') return 'killed: the run was interrupted'
  if (end.signal) return `killed by ${end.signal}`
  return `exit code: ${end.code}`
}

/** Resolves when the shell has exited, whatever its children still hold open; they are killed. */
function endOf(child: ChildProcess, timeoutMs: number, signal: AbortSignal): Promise<End> {
  return new Promise((resolve, reject) => {
    let stoppedBy: End['stoppedBy']
    const stop = (by: NonNullable<End['stoppedBy']>) => {
      stoppedBy ??= by
      killGroup(child)
    }
    const timer = setTimeout(() => stop('timeout'), timeoutMs)
    const onAbort = () => stop('abort')
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()

    const settle = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    }
    child.once('error', (error) => {
      settle()
      reject(error)
    })
    child.once('exit', (code, exitSignal) => {
      settle()
      killGroup(child)
      const done = () => {
        clearTimeout(drained)
        // A process that left the group may hold the pipes for ever; nobody waits for it.
        child.stdout?.destroy()
        child.stderr?.destroy()
        resolve({ code, signal: exitSignal, ...(stoppedBy ? { stoppedBy } : {}) })
      }
      const drained = setTimeout(done, DRAIN_MS)
      child.once('close', done)
    })
  })
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // Nobody is left in the group, which is what was wanted.
  }
}
