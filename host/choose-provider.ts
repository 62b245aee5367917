import { CodexboxError } from '../shared/errors.ts'
import type { Config } from './config.ts'
import { demoProvider } from './outer/demo/demo-provider.ts'
import { codexProvider, hasSignIn } from './providers/codex.ts'
import { openaiProvider } from './providers/openai.ts'
import type { ProviderPlugin } from './providers/provider.ts'

/** All providers, by the name `AGENT_PROVIDER` knows them by. */
const providers: Record<string, (config: Config) => ProviderPlugin> = {
  codex: (config) => codexProvider({ config }),
  openai: openaiProvider,
  demo: () => demoProvider(),
}

export interface ProviderChoice {
  provider: ProviderPlugin
  /** Why it is not the one that would have been preferred; for the user. */
  notice?: string
}

/**
 * The provider that was named; else codex where there is a sign-in; else the demo, and a line that says so.
 * @throws CodexboxError `config-invalid` for an unknown name; what is wrong with the sign-in of one that was named or
 * is there and cannot be used: `not-signed-in`, `tokens-invalid`
 */
export function chooseProvider(config: Config): ProviderChoice {
  const { provider: name } = config
  if (name === undefined) {
    const codex = codexProvider({ config })
    const reason = codex.whyNotAuthenticated()
    if (!reason) return { provider: codex }
    // The demo would do something else than what was asked for.
    if (hasSignIn(config)) throw reason
    return {
      provider: demoProvider(),
      notice: `This is the scripted demo, no model. ${reason.message}`,
    }
  }
  const make = Object.hasOwn(providers, name) ? providers[name] : undefined
  if (!make) {
    const known = Object.keys(providers).join(', ')
    throw new CodexboxError(
      'config-invalid',
      `AGENT_PROVIDER is "${name}", which is no provider; there are ${known}.`,
    )
  }
  const provider = make(config)
  const reason = provider.whyNotAuthenticated?.()
  if (reason) throw reason
  return { provider }
}
