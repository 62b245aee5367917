import { Command } from 'commander'
import { CodexboxError } from '../../../shared/errors.ts'
import { packageVersion } from '../../package-root.ts'
import { chatCommand } from './chat-command.ts'
import type { LoginOptions } from './login-command.ts'
import { logoutCommand } from './logout-command.ts'
import { notUnderstood } from './not-understood.ts'
import type { OneRunOptions } from './options.ts'
import { runCommand } from './run-command.ts'
import { Screen } from './screen.ts'
import { listCommand, removeCommand, showCommand } from './sessions-command.ts'
import { statusCommand } from './status-command.ts'
import { oweFinishedTo, tellFailure } from './way-out.ts'

/** The command line. Resolves with the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  let exitCode = 0
  const program = new Command('codexbox')
    .description('Runs an agent on your own ChatGPT subscription, inside a container.')
    .version(packageVersion)
    .helpCommand(true)
    .exitOverride()
    // `tellFailure` reports it.
    .configureOutput({ outputError: () => {} })

  withRunOptions(program)
    .argument('[prompt]', 'one run with this prompt; without it a chat')
    .action(async (prompt: string | undefined, options: OneRunOptions) => {
      const isOneRun = prompt !== undefined || options.continue || options.json
      const isChat = !isOneRun && process.stdin.isTTY
      if (prompt !== undefined) refuseTypo(prompt)
      exitCode = isChat ? await chatCommand(options) : await runCommand(prompt, options)
    })

  withRunOptions(program.command('run'))
    .description('one run; the prompt as argument, or on stdin')
    .argument('[prompt]', 'the prompt; - or nothing: stdin')
    .action(async (prompt: string | undefined, _options: OneRunOptions, command: Command) => {
      // Options may stand before or after `run`.
      exitCode = await runCommand(prompt, command.optsWithGlobals())
    })

  const sessions = program.command('sessions').description('list, show and remove sessions')
  sessions
    .command('list', { isDefault: true })
    .description('list them, newest first')
    .option('--json', 'one JSON line a session')
    .action((_options, command: Command) => listCommand(command.optsWithGlobals()))
  sessions
    .command('show <name>')
    .description('print what was said and done')
    .option('--json', 'the lines as they are kept')
    .action((name: string, _options, command: Command) =>
      showCommand(name, command.optsWithGlobals()),
    )
  sessions.command('remove <names...>').description('remove them for good').action(removeCommand)

  program
    .command('login')
    .description('sign in to ChatGPT')
    .option('--device', 'with a code to enter on any device; needs a setting of the account')
    .option('--paste', 'with the address that a browser elsewhere ends on')
    .option('--import', 'with the sign-in that Codex has on this machine')
    .action(async (options: LoginOptions) => {
      // Loaded on demand: sign-in is rare, and every start would pay for it.
      const { loginCommand } = await import('./login-command.ts')
      exitCode = await loginCommand(options)
    })
  program.command('logout').description('sign out, here and at the service').action(logoutCommand)
  program
    .command('status')
    .description('who is signed in; touches nothing')
    .option('--json', 'as one JSON line')
    .action((_options, command: Command) => {
      exitCode = statusCommand(command.optsWithGlobals())
    })

  program
    .command('models')
    .description('list the models that can be asked')
    .option('--json', 'as one JSON line')
    .action(async (_options, command: Command) => {
      const { modelsCommand } = await import('./models-command.ts')
      await modelsCommand(command.optsWithGlobals())
    })
  program
    .command('usage')
    .description('what is left of the plan, and when it begins anew')
    .option('--json', 'as one JSON line')
    .action(async (_options, command: Command) => {
      const { usageCommand } = await import('./usage-command.ts')
      await usageCommand(command.optsWithGlobals())
    })
  program
    .command('doctor')
    .description('look at what a run needs, and say what to do about it')
    .option('--json', 'as one JSON line')
    .option('--offline', 'ask nothing that is not on this machine')
    .option('--attack', 'try in a container what a hostile tool would try, and say what held')
    .action(async (_options, command: Command) => {
      const { doctorCommand } = await import('./doctor-command.ts')
      exitCode = await doctorCommand(command.optsWithGlobals())
    })

  const say = (sentence: string) => new Screen().error(sentence)
  try {
    await program.parseAsync(argv)
    return exitCode
  } catch (error) {
    if (!isCommanderError(error)) return tellFailure(error, say)
    if (error.exitCode === 0) return 0
    oweFinishedTo(argv)
    return tellFailure(new CodexboxError('wrong-use', notUnderstood(error.message)), say)
  }
}

function withRunOptions(command: Command): Command {
  return command
    .option('-w, --workspace <dir>', 'folder to work in (default: the current one)')
    .option('-s, --session <name>', 'session to continue or to begin')
    .option('-m, --model <slug>', 'model to ask')
    .option('-e, --effort <level>', 'reasoning effort, as the model knows it')
    .option('--timeout <seconds>', 'end the run after this time')
    .option('--image <file>', 'show the model an image; may be given several times', append)
    .option('--output-schema <file>', 'JSON Schema that the answer has to follow')
    .option(
      '--web-search',
      'let the service search the web for the model: a way out of network none',
    )
    .option('--continue', 'go on where the session ends, without a prompt')
    .option('--wait-for-limit', 'at the usage limit, wait until it is lifted and go on')
    .option('--min-remaining <percent>', 'do not begin with less than that left of the plan')
    .option('--json', 'print events as JSON lines')
}

function append(value: string, values: string[] = []): string[] {
  return [...values, value]
}

/** A single word is more often a mistyped command than a prompt, and a prompt costs tokens. */
function refuseTypo(prompt: string): void {
  if (/^[a-z-]+$/.test(prompt)) {
    throw new CodexboxError(
      'wrong-use',
      `There is no command "${prompt}" (\`codexbox --help\` lists them). To ask it: codexbox run ${prompt}`,
    )
  }
}

function isCommanderError(error: unknown): error is Error & { exitCode: number } {
  return error instanceof Error && 'exitCode' in error && typeof error.exitCode === 'number'
}
