import { createHash } from 'node:crypto'
import { CodexboxError } from '../../shared/errors.ts'
import { ORIGINATOR, USER_AGENT } from '../auth/client-identity.ts'
import type { Config } from '../config.ts'
import { BUILT_IN_FROM, builtInModels } from '../models/built-in-models.ts'
import { settingsFrom } from '../models/request-settings.ts'
import { agentFile } from '../package-root.ts'
import type { ProviderPlugin } from './provider.ts'

/** The OpenAI API with a key, or any server that speaks Responses with `OPENAI_BASE_URL`. */
export function openaiProvider(
  config: Pick<Config, 'openaiApiKey' | 'openaiBaseUrl'>,
): ProviderPlugin {
  const key = () => {
    if (!config.openaiApiKey) throw keyMissing()
    return config.openaiApiKey
  }
  const base = config.openaiBaseUrl.href.replace(/\/$/, '')
  return {
    name: 'openai',
    containerProvider: agentFile,
    isAuthenticated: () => config.openaiApiKey !== undefined,
    whyNotAuthenticated: () => (config.openaiApiKey ? undefined : keyMissing()),
    getSecrets: async () => ({ CODEX_ACCESS_TOKEN: key() }),
    async setup() {
      key()
    },
    // The API's list has only names, without capabilities.
    models: async () => ({
      models: builtInModels,
      source: 'built-in',
      checkedAt: BUILT_IN_FROM.at,
    }),
    async connect() {
      return {
        responsesUrl: new URL(`${base}/responses`),
        headers: { originator: ORIGINATOR, 'user-agent': USER_AGENT },
        settingsFor: async (wanted) => settingsFrom(builtInModels, wanted, 'plain'),
        // Distinguishes keys without revealing them.
        owner: `openai:${createHash('sha256').update(`${base} ${key()}`).digest('hex').slice(0, 12)}`,
        getSecrets: async () => ({ CODEX_ACCESS_TOKEN: key() }),
        close: async () => {},
      }
    },
  }
}

function keyMissing(): CodexboxError {
  return new CodexboxError(
    'not-signed-in',
    'AGENT_PROVIDER=openai needs a key: set OPENAI_API_KEY in the environment or in .env.',
  )
}
