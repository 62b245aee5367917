import { promises as fs } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from '../command.ts'
import { patchIn } from '../patch/patch-in-command.ts'
import { type FunctionTool, ToolError } from '../tool.ts'
import { patchFiles } from './apply-patch.ts'

export const bash: FunctionTool = {
  name: 'bash',
  description:
    'Run a command with bash in the workspace and get its exit code and its output (stdout and ' +
    'stderr merged; of a long output the head and the tail are kept). Each call is a fresh shell: ' +
    'directory changes and variables do not carry over. There is no terminal. A command that still ' +
    'runs after yield_time_ms goes on: you get its output so far and a session id for write_stdin. ' +
    'What a command started is ended when its shell exits, so a server has to stay in the foreground.',
  parameters: {
    type: 'object',
    properties: {
      command: { type: 'string', description: 'The command line, any length, as for `bash -c`.' },
      yield_time_ms: {
        type: 'integer',
        minimum: 250,
        description: 'Return when the command has not ended by then; default 10000, most 30000.',
      },
      timeout_ms: {
        type: 'integer',
        minimum: 1,
        description: 'End the command after this many milliseconds; cannot exceed the default.',
      },
      open_stdin: {
        type: 'boolean',
        description: 'Keep its input open for write_stdin; by default it reads an end of file.',
      },
    },
    required: ['command'],
    additionalProperties: false,
  },

  async run(args, context) {
    const { workspace, environment, limits, signal, sessions, onOutput } = context
    const commandLine = args.string('command')
    const yieldMs = args.optionalInteger('yield_time_ms', 0) ?? 10_000
    const timeoutMs = args.optionalInteger('timeout_ms', 1) ?? limits.toolMs
    const openStdin = args.flag('open_stdin')
    // NUL ends an argument; bash would run only the part before it.
    if (commandLine.includes('\0')) throw new ToolError('The command contains a NUL character.')

    if (commandLine.trimStart().startsWith('*** Begin Patch')) {
      throw new ToolError(
        "A patch is no command: call apply_patch with it, or put `apply_patch <<'EOF'` before it and `EOF` behind it.",
      )
    }
    const embedded = patchIn(commandLine, workspace)
    if (embedded) return patchFiles(embedded.patch, embedded.folder, context)

    const { bashArgs, cleanUp } = await prepare(commandLine)
    const command = new Command(bashArgs, {
      cwd: workspace,
      environment,
      openStdin,
      timeoutMs: Math.min(timeoutMs, limits.toolMs),
      outputBytes: limits.toolOutputBytes,
      signal,
      cleanUp,
      title: titleOf(commandLine),
    })
    const unwatch = command.watch(onOutput)
    await command.wait(Math.min(Math.max(yieldMs, MIN_YIELD_MS), MAX_YIELD_MS))
    // No session is free for this command, so wait for its end.
    if (sessions.isFull) await command.wait(limits.toolMs)
    unwatch()
    return sessions.report(command)
  },
}

const MIN_YIELD_MS = 250
const MAX_YIELD_MS = 30_000

const MAX_TITLE_CHARS = 200

/** The first line that is not blank. */
function titleOf(commandLine: string): string {
  const [line = ''] = commandLine.trimStart().split('\n', 1)
  return line.slice(0, MAX_TITLE_CHARS)
}

/** Linux takes 128 KiB for one argument (MAX_ARG_STRLEN) and fails with E2BIG above. */
const MAX_ARGUMENT_BYTES = 100 * 1024

async function prepare(
  commandLine: string,
): Promise<{ bashArgs: string[]; cleanUp: () => Promise<void> }> {
  if (Buffer.byteLength(commandLine) <= MAX_ARGUMENT_BYTES) {
    return { bashArgs: ['-c', commandLine], cleanUp: async () => {} }
  }
  const folder = await fs.mkdtemp(join(tmpdir(), 'command-'))
  const script = join(folder, 'command.sh')
  // A command may remove or lock its own script, which is no failure of the command.
  const cleanUp = () => fs.rm(folder, { recursive: true, force: true }).catch(() => {})
  try {
    await fs.writeFile(script, commandLine, { mode: 0o600 })
  } catch (error) {
    await cleanUp()
    throw error
  }
  return { bashArgs: [script], cleanUp }
}
