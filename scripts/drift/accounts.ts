import { randomUUID } from 'node:crypto'
import type { Credentials } from './recording.ts'

export const ACCOUNT = 'account-1'

/** Tokens in the issuer's format, unsigned. */
export function grant(account: string, leftMs = 60 * 60_000, refresh = 'rt_fake_1') {
  const claims = {
    'https://api.openai.com/auth': {
      chatgpt_account_id: account,
      chatgpt_plan_type: 'plus',
      chatgpt_user_id: 'user-1',
      organization_id: 'org-fake',
      project_id: 'proj-fake',
      completed_platform_onboarding: true,
      is_org_owner: false,
    },
  }
  const exp = Math.floor((Date.now() + leftMs) / 1000)
  return {
    id_token: jwt({ email: 'ada@example.com', ...claims }),
    access_token: jwt({ exp, jti: randomUUID(), ...claims }),
    refresh_token: refresh,
  }
}

const DAY_MS = 24 * 60 * 60_000

/** The contents of the official client's auth.json. */
export function signIn(account: string, credentials: Partial<Credentials>) {
  const { leftMs, opaque, lastRefreshDaysAgo = 0, without } = credentials
  const tokens = grant(account, leftMs, 'rt_fake_0')
  const access_token = opaque ? 'opaque-token' : tokens.access_token
  const refreshed = Date.now() - 120_000 - lastRefreshDaysAgo * DAY_MS
  return {
    auth_mode: 'chatgpt',
    OPENAI_API_KEY: null,
    tokens: {
      ...tokens,
      access_token,
      ...(without === 'account_id' ? {} : { account_id: account }),
    },
    ...(without === 'last_refresh' ? {} : { last_refresh: new Date(refreshed).toISOString() }),
  }
}

const NO_CONSTRAINT = 'NO_CONSTRAINT'
export const USUAL_ACCOUNTS = {
  accounts: [
    {
      id: ACCOUNT,
      workspace_backend_origin: NO_CONSTRAINT,
      account_routing_override: NO_CONSTRAINT,
    },
  ],
}

function jwt(claims: Record<string, unknown>): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'none', typ: 'JWT' })}.${part(claims)}.c2lnbmF0dXJl`
}
