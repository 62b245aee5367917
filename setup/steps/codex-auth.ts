import type { Config } from '../../host/config.ts'
import { setupCommand } from '../../host/package-root.ts'
import { type CodexProviderOptions, codexProvider } from '../../host/providers/codex.ts'
import type { ProviderPlugin } from '../../host/providers/provider.ts'
import { CodexboxError } from '../../shared/errors.ts'
import { visible } from '../../shared/visible-text.ts'
import type { Step, StepResult } from '../step.ts'

const NAME = 'codex-auth'
const WAYS = ['device', 'paste', 'import'] as const
const FLAGS = [...WAYS.map((way) => `--${way}`), '--force', '--check']

/** Signs in to ChatGPT, unless a working sign-in exists. */
export const codexAuthStep: Step = createCodexAuthStep()

/** The step with another browser, clock or terminal. */
export function createCodexAuthStep(parts: Omit<CodexProviderOptions, 'config'> = {}): Step {
  return {
    name: NAME,
    summary:
      'Sign in to ChatGPT (--device, --paste, --import; --force: anew, --check: only report)',
    run: async (args, config) => {
      const unknown = args.find((arg) => !FLAGS.includes(arg))
      if (unknown !== undefined)
        return wrongUse(`Unknown argument ${unknown}.`, `Known are ${FLAGS.join(', ')}.`)
      const ways = WAYS.filter((way) => args.includes(`--${way}`))
      if (ways.length > 1)
        return wrongUse('More than one way to sign in was named.', 'Name one, or none.')
      const provider = codexProvider({ ...parts, config, way: ways[0] ?? parts.way })
      try {
        if (args.includes('--check')) return check(provider, config)
        if (!args.includes('--force') && (await hasUsableTokens(provider, parts.say)))
          return already('A sign-in is there and works.')
        await provider.setup()
        return {
          status: 'done',
          fields: { AUTH_STATUS: 'authenticated' },
          detail: 'Signed in to ChatGPT.',
        }
      } catch (error) {
        if (!(error instanceof CodexboxError)) throw error
        return failed(
          error.message,
          `Run again: ${setupCommand(NAME)} [--device | --paste | --import]`,
        )
      }
    },
  }
}

/** Local state only. */
function check(provider: ProviderPlugin, config: Config): StepResult {
  const reason = provider.whyNotAuthenticated?.()
  if (!reason) return already(`A sign-in is there, in ${config.dataDir}.`)
  return failed(`${reason.message} Looked in ${config.dataDir}.`, `Run ${setupCommand(NAME)}`)
}

/**
 * Whether the tokens can be used now, after a due renewal. False for a sign-in that the service
 * revoked; throws a transient failure, since the sign-in may still be valid.
 */
async function hasUsableTokens(
  provider: ProviderPlugin,
  say: (line: string) => void = (line) => void process.stderr.write(`${visible(line)}\n`),
): Promise<boolean> {
  try {
    await provider.getSecrets()
    // With a dead refresh token the access token lasts minutes at most.
    return provider.isAuthenticated()
  } catch (error) {
    if (!(error instanceof CodexboxError)) throw error
    if (error.code === 'not-signed-in') return false
    // A damaged file was moved aside, so a new sign-in is possible; any other error blocks it.
    const isSetAside = provider.whyNotAuthenticated?.()?.code === 'not-signed-in'
    if (error.code !== 'tokens-invalid' || !isSetAside) throw error
    say(error.message)
    return false
  }
}

function already(detail: string): StepResult {
  return { status: 'unchanged', fields: { AUTH_STATUS: 'already_authenticated' }, detail }
}

function failed(detail: string, fix: string) {
  return { status: 'failed', fields: { AUTH_STATUS: 'failed' }, detail, fix } as const
}

const wrongUse = (detail: string, fix: string) =>
  ({ ...failed(detail, fix), isWrongUse: true }) as const
