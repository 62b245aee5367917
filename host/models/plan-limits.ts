import { z } from 'zod'
import { CodexboxError, messageOf } from '../../shared/errors.ts'
import { Limits } from '../../shared/limits.ts'
import { readLimitsBody } from '../../shared/read-limits.ts'
import { accountsCheckUrl } from '../auth/account-route.ts'
import { accountFile } from '../storage/account-file.ts'
import { getJson } from './get-json.ts'
import { limitNotices, mergeTold, ToldWindow } from './limit-notices.ts'

/** The service's last figures on the limits of a plan. */
export interface SeenLimits {
  limits: Limits
  /** Epoch ms. */
  at: number
  /** Why the request to the service failed; the figures are from an earlier answer. */
  problem?: string
}

export interface PlanLimitsOptions {
  dataDir: string
  codexBaseUrl: URL
  /** The account of the limits; no other account sees them. */
  owner: string
  /** Per request. Default 5000. */
  timeoutMs?: number | undefined
  now?: (() => number) | undefined
}

export interface PlanLimits {
  /**
   * Asks the service; falls back to the figures of the latest run. `headersFor` returns the credentials,
   * and renewed ones on a retry.
   * @throws CodexboxError `model-unreachable`, `model-refused` without any figures; errors of `headersFor`
   */
  ask(headersFor: (isRetry: boolean) => Promise<Record<string, string>>): Promise<SeenLimits>
  /**
   * Persists the limits of an answer to a run. `notices` are complete sentences for the user, once per
   * window over all processes. Never fails.
   */
  saw(limits: Limits): { notices: readonly string[]; persisted: Promise<void> }
}

/** The remaining limits of an account's plan. */
export function planLimits(options: PlanLimitsOptions): PlanLimits {
  const { codexBaseUrl, now = Date.now, timeoutMs = TIMEOUT_MS } = options
  const owner = `${options.owner} ${codexBaseUrl.href}`
  const file = accountFile(options.dataDir, 'codex-limits.json', StoredLimits)
  let shown: ToldWindow[] = []
  /** Other processes show notices as well, and this one's latest may not be in the file yet. */
  const allShown = () => mergeTold(file.read(owner)?.told ?? [], shown)
  const persist = (limits: Limits, nowShown: ToldWindow[]) =>
    file.write(owner, { limits, at: now(), told: nowShown })

  const get = (headers: Record<string, string>) =>
    getJson(usageUrl(codexBaseUrl), {
      headers: { ...headers, accept: 'application/json' },
      timeoutMs,
      maxBytes: MAX_BYTES,
    })

  return {
    saw: (limits) => {
      const due = limitNotices(limits, allShown(), now())
      shown = due.told
      return { notices: due.messages, persisted: persist(limits, shown) }
    },
    ask: async (headersFor) => {
      const headers = await headersFor(false)
      try {
        let answer = await get(headers)
        if (answer.status === 401) answer = await get(await headersFor(true))
        if (answer.status !== 200) throw notUsed(`status ${answer.status} came back`)
        const limits = readLimitsBody(answer.json, now())
        if (!limits) throw notUsed('an answer without limits came back')
        await persist(limits, allShown())
        return { limits, at: now() }
      } catch (error) {
        const stored = file.read(owner)
        if (!stored) throw error
        return { limits: stored.limits, at: stored.at, problem: messageOf(error) }
      }
    },
  }
}

const TIMEOUT_MS = 5_000
const MAX_BYTES = 1024 * 1024

const StoredLimits = z.object({
  limits: Limits,
  at: z.number(),
  told: z.array(ToldWindow).optional(),
})

/** A sibling path: `…/backend-api/codex` has `…/backend-api/wham/usage`. */
function usageUrl(codexBaseUrl: URL): URL {
  return new URL('../usage', accountsCheckUrl(codexBaseUrl))
}

const notUsed = (what: string) =>
  new CodexboxError('model-refused', `Asked the service what is left of the plan: ${what}.`)
