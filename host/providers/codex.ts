import { CodexboxError } from '../../shared/errors.ts'
import type { Secrets } from '../../shared/secrets.ts'
import { notSignedIn, usableTokens } from '../auth/access-token.ts'
import { ORIGINATOR, USER_AGENT } from '../auth/client-identity.ts'
import { deadError } from '../auth/refresh.ts'
import type { SignInOptions } from '../auth/sign-in.ts'
import { fileTokenStore, type TokenStore } from '../auth/token-store.ts'
import type { Tokens } from '../auth/tokens.ts'
import type { Config } from '../config.ts'
import { agentFile } from '../package-root.ts'
import type { ProviderPlugin } from './provider.ts'

export interface CodexProviderOptions extends Omit<SignInOptions, 'config'> {
  config: Pick<Config, 'dataDir' | 'authIssuer' | 'codexBaseUrl'>
}

/** The model by way of one's own ChatGPT subscription. */
export function codexProvider(options: CodexProviderOptions) {
  const { config, now = Date.now } = options
  const store = fileTokenStore(config.dataDir)
  const tokens = usableTokens({ store, issuer: config.authIssuer, now })

  return {
    name: 'codex',
    containerProvider: agentFile,

    getSecrets: async () => {
      const { CODEX_ACCESS_TOKEN, CODEX_ACCOUNT_ID } = secretsOf(await tokens())
      return { CODEX_ACCESS_TOKEN, ...(CODEX_ACCOUNT_ID ? { CODEX_ACCOUNT_ID } : {}) }
    },

    isAuthenticated: () => whyNotAuthenticated(store) === undefined,

    whyNotAuthenticated: () => whyNotAuthenticated(store),

    setup: async () => {
      // Seldom needed, and it takes longer to load than all the rest.
      const { signIn } = await import('../auth/sign-in.ts')
      await signIn(options)
    },

    connect: async () => {
      const { account_id } = await tokens()
      return {
        responsesUrl: new URL(`${config.codexBaseUrl.href.replace(/\/$/, '')}/responses`),
        headers: { originator: ORIGINATOR, 'user-agent': USER_AGENT },
        defaultModel: 'gpt-5.5',
        owner: `codex:${account_id ?? 'unknown'}`,
        getSecrets: async (rejectedToken?: string) => {
          const current = await tokens(rejectedToken)
          if (current.account_id !== account_id) throw otherAccount()
          return secretsOf(current)
        },
        close: async () => {},
      }
    },
  } satisfies ProviderPlugin
}

function whyNotAuthenticated(store: TokenStore): CodexboxError | undefined {
  try {
    const stored = store.peek()
    if (!stored) return notSignedIn()
    return stored.dead && deadError(stored.dead)
  } catch (error) {
    if (error instanceof CodexboxError) return error
    throw error
  }
}

function secretsOf({ access_token, account_id }: Tokens): Secrets {
  return { CODEX_ACCESS_TOKEN: access_token, CODEX_ACCOUNT_ID: account_id }
}

/** The conversation's encrypted reasoning belongs to the account it began with. */
function otherAccount(): CodexboxError {
  return new CodexboxError(
    'not-signed-in',
    'Another account was signed in while this conversation was open. Start the conversation again.',
  )
}
