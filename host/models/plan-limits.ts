import { z } from 'zod'
import { CodexboxError, messageOf } from '../../shared/errors.ts'
import { Limits } from '../../shared/limits.ts'
import { readLimitsBody } from '../../shared/read-limits.ts'
import { accountsCheckUrl } from '../auth/account-route.ts'
import { accountFile } from '../storage/account-file.ts'
import { getJson } from './get-json.ts'
import { limitNotices, mergeTold, ToldWindow } from './limit-notices.ts'

/** What the service said about the limits of a plan, and when. */
export interface SeenLimits {
  limits: Limits
  /** Epoch ms. */
  at: number
  /** Why the service could not be asked just now: what is here is from an earlier time. */
  problem?: string
}

export interface PlanLimitsOptions {
  dataDir: string
  codexBaseUrl: URL
  /** Whose limits they are: another account never gets to see them. */
  owner: string
  /** For one question. Default 5000. */
  timeoutMs?: number | undefined
  now?: (() => number) | undefined
}

export interface PlanLimits {
  /**
   * Asks the service; what a run was told last stands in for an answer. `headersFor` is given
   * credentials for it, and others if those were refused.
   * @throws CodexboxError `model-unreachable`, `model-refused` when nothing is known; what `headersFor` throws
   */
  ask(headersFor: (isRetry: boolean) => Promise<Record<string, string>>): Promise<SeenLimits>
  /**
   * Keeps what came with an answer to a run. What the person is to be told of it, once for each window
   * over all processes, as whole sentences. Never fails.
   */
  saw(limits: Limits): { notices: readonly string[]; kept: Promise<void> }
}

/** What is left of the plan of an account. */
export function planLimits(options: PlanLimitsOptions): PlanLimits {
  const { codexBaseUrl, now = Date.now, timeoutMs = TIMEOUT_MS } = options
  const owner = `${options.owner} ${codexBaseUrl.href}`
  const file = accountFile(options.dataDir, 'codex-limits.json', Kept)
  let told: ToldWindow[] = []
  /** Other processes tell as well; what this one told last may not be in the file yet. */
  const allTold = () => mergeTold(file.read(owner)?.told ?? [], told)
  const keep = (limits: Limits, nowTold: ToldWindow[]) =>
    file.write(owner, { limits, at: now(), told: nowTold })

  const get = (headers: Record<string, string>) =>
    getJson(usageUrl(codexBaseUrl), {
      headers: { ...headers, accept: 'application/json' },
      timeoutMs,
      maxBytes: MAX_BYTES,
    })

  return {
    saw: (limits) => {
      const due = limitNotices(limits, allTold(), now())
      told = due.told
      return { notices: due.messages, kept: keep(limits, told) }
    },
    ask: async (headersFor) => {
      const headers = await headersFor(false)
      try {
        let answer = await get(headers)
        if (answer.status === 401) answer = await get(await headersFor(true))
        if (answer.status !== 200) throw notUsed(`status ${answer.status} came back`)
        const limits = readLimitsBody(answer.json, now())
        if (!limits) throw notUsed('an answer without limits came back')
        await keep(limits, allTold())
        return { limits, at: now() }
      } catch (error) {
        const kept = file.read(owner)
        if (!kept) throw error
        return { limits: kept.limits, at: kept.at, problem: messageOf(error) }
      }
    },
  }
}

const TIMEOUT_MS = 5_000
const MAX_BYTES = 1024 * 1024

const Kept = z.object({ limits: Limits, at: z.number(), told: z.array(ToldWindow).optional() })

/** Beside the workspaces: `…/backend-api/codex` has `…/backend-api/wham/usage`. */
function usageUrl(codexBaseUrl: URL): URL {
  return new URL('../usage', accountsCheckUrl(codexBaseUrl))
}

const notUsed = (what: string) =>
  new CodexboxError('model-refused', `Asked the service what is left of the plan: ${what}.`)
