import { CodexboxError } from '../shared/errors.ts'
import type { Config } from './config.ts'
import { demoProvider } from './outer/demo/demo-provider.ts'
import { codexProvider, hasSignIn } from './providers/codex.ts'
import { openaiProvider } from './providers/openai.ts'
import type { ProviderPlugin } from './providers/provider.ts'

/** All providers, by their names in `AGENT_PROVIDER`. */
const providers: Record<string, (config: Config) => ProviderPlugin> = {
  codex: (config) => codexProvider({ config }),
  openai: openaiProvider,
  demo: () => demoProvider(),
}

export interface ProviderChoice {
  provider: ProviderPlugin
  /** Why the preferred provider is not used; for the user. */
  notice?: string
}

/**
 * The named provider; else codex where a sign-in exists; else the demo, with a notice.
 * @throws CodexboxError `config-invalid` for an unknown name; `not-signed-in`, `tokens-invalid` for a named provider
 * or an existing sign-in that cannot be used
 */
export function chooseProvider(config: Config): ProviderChoice {
  const { provider: name } = config
  if (name === undefined) {
    const codex = codexProvider({ config })
    const reason = codex.whyNotAuthenticated()
    if (!reason) return { provider: codex }
    // The demo must not replace an existing sign-in silently.
    if (hasSignIn(config)) throw reason
    return {
      provider: demoProvider(),
      notice: `This is the scripted demo, no model. ${reason.message}`,
    }
  }
  const make = Object.hasOwn(providers, name) ? providers[name] : undefined
  if (!make) {
    const names = Object.keys(providers).join(', ')
    throw new CodexboxError(
      'config-invalid',
      `AGENT_PROVIDER is "${name}", which is no provider; there are ${names}.`,
    )
  }
  const provider = make(config)
  const reason = provider.whyNotAuthenticated?.()
  if (reason) throw reason
  return { provider }
}
