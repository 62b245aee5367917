import { existsSync } from 'node:fs'
import { codexAuthFile } from '../../../auth/sign-in/codex-import.ts'
import { signInStatus } from '../../../auth/status.ts'
import { type Check, ok, problem, warning } from '../finding.ts'

/** Makes no request: the next run shows whether the service accepts the sign-in. */
export const signInCheck: Check = {
  name: 'sign-in',
  look({ config, env }) {
    const { provider, dataDir, openaiApiKey } = config
    if (provider === 'openai') {
      return openaiApiKey
        ? ok('An API key is set, and AGENT_PROVIDER=openai uses it.')
        : problem('AGENT_PROVIDER=openai, and there is no API key.', 'Set OPENAI_API_KEY.')
    }
    const { signedIn, message, account, plan, importedFrom } = signInStatus(dataDir)
    if (!signedIn) {
      const status = message ?? 'Not signed in to ChatGPT.'
      if (provider === 'codex') return problem(status)
      return warning(`${status} Until then runs go to the scripted demo.`)
    }
    const who = `Signed in to ChatGPT${account ? ` as ${account}` : ''}${plan ? `, plan ${plan}` : ''}`
    if (importedFrom) {
      return warning(
        `${who}, by a sign-in that Codex uses as well (${importedFrom}): whoever renews it second is signed out.`,
        'For one of its own: codexbox login',
      )
    }
    const other = codexAuthFile(env)
    return ok(`${who}.${existsSync(other) ? ` Codex has a sign-in of its own (${other}).` : ''}`)
  },
}
