import { join } from 'node:path'
import { CodexboxError } from '../../../shared/errors.ts'
import { fileTokenStore } from '../token-store.ts'
import { isWithin } from '../tokens.ts'
import { RenewalResult } from './process-protocol.ts'
import type { Renew } from './renew.ts'
import type { RenewalAnswer } from './start-process.ts'
import { takeTurn } from './turn.ts'
import { keptRenewalProcess } from './warm-process.ts'

export interface RenewInProcessOptions {
  dataDir: string
  issuer: URL
  timeoutMs?: number | undefined
  /** See `FileLockOptions`. */
  lockTimeoutMs?: number | undefined
  staleMs?: number | undefined
}

/**
 * Renews in a process that outlives this one: a process that is killed while the service's answer is
 * in flight would lose the sign-in, because the service gives that answer only once.
 * @throws CodexboxError also `internal` when the script of that process is missing.
 */
export function renewInProcess({ issuer, ...options }: RenewInProcessOptions): Renew {
  const { dataDir, staleMs } = options
  const carryOut = keptRenewalProcess()
  let pause: Pause | undefined
  return async (due) => {
    const isSame = pause?.accessToken === due.accessToken
    if (pause && isSame && isWithin(pause.ms, pause.since, Date.now())) throw pause.error
    const endTurn = await takeTurn({ tokensPath: join(dataDir, 'codex-tokens.json'), staleMs })
    try {
      const current = fileTokenStore(dataDir).peek()
      if (current && current.access_token !== due.accessToken) return
      const result = resultOf(await carryOut({ ...options, ...due, issuer: issuer.href }))
      if (result.status === 'ok') return
      const error = new CodexboxError(result.code, result.message)
      const ms = Math.min(result.pauseMs ?? 0, MAX_PAUSE_MS)
      pause = { accessToken: due.accessToken, since: Date.now(), ms, error }
      throw error
    } finally {
      await endTurn()
    }
  }
}

/** The `Retry-After` of a failed renewal of this access token. */
interface Pause {
  accessToken: string
  since: number
  ms: number
  error: CodexboxError
}

/** Upper bound of a `Retry-After`: the user is waiting. */
export const MAX_PAUSE_MS = 15 * 60_000

function resultOf(answer: RenewalAnswer): RenewalResult {
  if (answer.status === 'answered') return RenewalResult.parse(JSON.parse(answer.line))
  throw new CodexboxError(
    'refresh-failed',
    `Could not renew the sign-in: the process for it ${answer.end}. It is kept; try again in a moment.`,
  )
}
