import type { FunctionTool } from '../tool.ts'

export const writeStdin: FunctionTool = {
  name: 'write_stdin',
  description:
    'Look at a command that bash left running: waits until it ends or yield_time_ms are over and ' +
    'returns what it has put out since the last look. It can be sent input, or ended, first.',
  parameters: {
    type: 'object',
    properties: {
      session_id: { type: 'integer', description: 'The session id that bash returned.' },
      chars: {
        type: 'string',
        description:
          'Input to send, if bash was told to open_stdin; newlines are not added. "\\u0004" at ' +
          'the end closes the input; "\\u0003" alone interrupts the command. Default: send nothing.',
      },
      yield_time_ms: {
        type: 'integer',
        minimum: 250,
        description: 'How long to wait for the end; default 10000, with chars 1000; most 300000.',
      },
      end: { type: 'boolean', description: 'Kill the command and all that it started.' },
    },
    required: ['session_id'],
    additionalProperties: false,
  },

  async run(args, { sessions, onOutput }) {
    const command = sessions.get(args.integer('session_id', 0))
    const chars = args.optionalString('chars') ?? ''
    const yieldMs = args.optionalInteger('yield_time_ms', 0) ?? (chars === '' ? 10_000 : 1000)

    const end = args.flag('end')
    if (chars !== '') command.write(chars)
    if (end) command.stop('request')
    const unwatch = command.watch(onOutput)
    await command.wait(Math.min(Math.max(yieldMs, MIN_YIELD_MS), MAX_YIELD_MS))
    unwatch()
    return sessions.report(command)
  },
}

const MIN_YIELD_MS = 250
const MAX_YIELD_MS = 300_000
