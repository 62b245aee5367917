import { CodexboxError } from '../../shared/errors.ts'
import type { Limits } from '../../shared/limits.ts'
import { authorizationHeaders, type Secrets } from '../../shared/secrets.ts'
import {
  accountRoute,
  type Route,
  SERVICE_ORIGIN,
  TokenRefusedError,
} from '../auth/account-route.ts'
import { ORIGINATOR, USER_AGENT } from '../auth/client-identity.ts'
import { notSignedIn } from '../auth/not-signed-in.ts'
import { deadError } from '../auth/renewal/refresh.ts'
import { renewInProcess } from '../auth/renewal/renew-in-process.ts'
import { usableTokens } from '../auth/renewal/usable-tokens.ts'
import type { SignInOptions } from '../auth/sign-in/sign-in.ts'
import { fileTokenStore, type TokenStore } from '../auth/token-store.ts'
import type { Tokens } from '../auth/tokens.ts'
import type { Config } from '../config.ts'
import { builtInNotice, modelCatalogue } from '../models/catalogue.ts'
import { planLimits } from '../models/plan-limits.ts'
import { settingsFrom, type WantedSettings } from '../models/request-settings.ts'
import { agentFile } from '../package-root.ts'
import type { ProviderPlugin } from './provider.ts'

export interface CodexProviderOptions extends Omit<SignInOptions, 'config'> {
  config: Pick<Config, 'dataDir' | 'authIssuer' | 'codexBaseUrl'>
  /** The origin of the service itself; see `accountRoute`. */
  serviceOrigin?: string | undefined
}

/** The model through the user's ChatGPT subscription. */
export function codexProvider(options: CodexProviderOptions) {
  const { config, now = Date.now } = options
  const { dataDir, authIssuer: issuer } = config
  const store = fileTokenStore(dataDir)
  const tokens = usableTokens({ store, renew: renewInProcess({ dataDir, issuer }), now })
  const { codexBaseUrl } = config
  const { serviceOrigin = SERVICE_ORIGIN } = options
  const routeOf = accountRoute({ codexBaseUrl, serviceOrigin })
  /** Headers for requests other than model requests; with a renewed token on a retry. */
  const headersFor = (current: Tokens) => async (isRetry: boolean) =>
    identified(isRetry ? await tokens(current.access_token) : current)

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
      // Loaded on demand: seldom needed, and slower to load than all other modules.
      const { signIn } = await import('../auth/sign-in/sign-in.ts')
      await signIn(options)
    },

    models: async () => {
      const current = await tokens()
      const owner = ownerOf(current)
      return modelCatalogue({ ...config, owner, headersFor: headersFor(current), now }).ask()
    },

    limits: async () => {
      const current = await tokens()
      return planLimits({ ...config, owner: ownerOf(current), now }).ask(headersFor(current))
    },

    connect: async () => {
      const usable = async (rejected?: string) => {
        const current = await tokens(rejected)
        try {
          return { current, route: await routeOf(current) }
        } catch (error) {
          if (!(error instanceof TokenRefusedError)) throw error
          const renewed = await tokens(current.access_token)
          return { current: renewed, route: await routeOf(renewed) }
        }
      }
      const first = await tokens()
      const { account_id } = first
      const owner = ownerOf(first)
      const closing = new AbortController()
      let current = first
      const catalogue = modelCatalogue({
        ...config,
        owner,
        headersFor: headersFor(first),
        signal: closing.signal,
        now,
      })
      const plan = planLimits({ ...config, owner, now })
      // Runs in parallel with the account route, so that the start waits only for the slower one.
      const models = catalogue.known()
      let route: Route
      try {
        ;({ current, route } = await usable())
      } catch (error) {
        closing.abort()
        throw error
      }
      return {
        // The route may change with the token: an account can move to another region.
        get responsesUrl() {
          return route.responsesUrl
        },
        get headers() {
          return {
            originator: ORIGINATOR,
            'user-agent': USER_AGENT,
            'x-codex-beta-features': BETA_FEATURES,
            ...route.headers,
          }
        },
        settingsFor: async (wanted: WantedSettings) => {
          const catalogue = await models
          const settings = settingsFrom(catalogue.models, wanted, 'codex')
          const notice = builtInNotice(catalogue)
          return notice ? { ...settings, notices: [notice, ...settings.notices] } : settings
        },
        sawLimits: (limits: Limits) => plan.saw(limits),
        // A configured server may be of any kind.
        takesZstd: codexBaseUrl.origin === serviceOrigin,
        owner,
        getSecrets: async (rejectedToken?: string) => {
          const next = await usable(rejectedToken)
          if (next.current.account_id !== account_id) throw otherAccount()
          ;({ current, route } = next)
          return secretsOf(current)
        },
        close: async () => closing.abort(),
      }
    },
  } satisfies ProviderPlugin
}

/** The official client sends it with every request; the service compacts only for clients that do. */
const BETA_FEATURES = 'remote_compaction_v2'

function whyNotAuthenticated(store: TokenStore): CodexboxError | undefined {
  try {
    const stored = store.peek()
    if (!stored) return notSignedIn(store.setAside())
    return stored.dead && deadError(stored.dead, stored)
  } catch (error) {
    if (error instanceof CodexboxError) return error
    throw error
  }
}

/** Whether a sign-in exists in any state, even revoked or damaged. */
export function hasSignIn({ dataDir }: Pick<Config, 'dataDir'>): boolean {
  const store = fileTokenStore(dataDir)
  try {
    return store.peek() !== undefined || store.setAside() !== undefined
  } catch (error) {
    if (error instanceof CodexboxError) return true
    throw error
  }
}

function secretsOf({ access_token, account_id }: Tokens): Secrets {
  return { CODEX_ACCESS_TOKEN: access_token, CODEX_ACCOUNT_ID: account_id }
}

/** The owner of encrypted reasoning, list of models and limits. */
function ownerOf({ account_id }: Tokens): string {
  return `codex:${account_id ?? 'unknown'}`
}

/** Headers of requests other than model requests. */
function identified(tokens: Tokens): Record<string, string> {
  return {
    ...authorizationHeaders(secretsOf(tokens)),
    originator: ORIGINATOR,
    'user-agent': USER_AGENT,
  }
}

/** A conversation's encrypted reasoning belongs to the account that it began with. */
function otherAccount(): CodexboxError {
  return new CodexboxError(
    'not-signed-in',
    'Another account was signed in while this conversation was open. Start the conversation again.',
  )
}
