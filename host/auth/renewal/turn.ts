import { holdFileLock } from '../../storage/file-lock.ts'

export interface RenewalTurnOptions {
  tokensPath: string
  /** See `FileLockOptions`. */
  staleMs?: number | undefined
}

/**
 * Of fifty hosts that need a renewal, one starts the process for it, and the others find the new tokens.
 * This only saves processes, so a host without a turn in time goes on: the store's own lock guarantees
 * the single request. The returned function ends the turn.
 */
export async function takeTurn(options: RenewalTurnOptions): Promise<() => Promise<void>> {
  const { tokensPath, staleMs } = options
  try {
    const lockOptions = { timeoutMs: TURN_MS, staleMs, code: 'refresh-failed' } as const
    return await holdFileLock(turnPath(tokensPath), lockOptions)
  } catch {
    return async () => {}
  }
}

/** How long a stopped host may delay the others. */
export const TURN_MS = 5_000

/** The lock file of the turn; a process that dies leaves it behind. */
export const turnPath = (tokensPath: string) => `${tokensPath}.turn`
