import { holdFileLock } from '../../storage/file-lock.ts'

export interface RenewalTurnOptions {
  tokensPath: string
  /** See `FileLockOptions`. */
  staleMs?: number | undefined
}

/**
 * Of fifty hosts that need a renewal, one starts the process for it, and the others find it done. It
 * is for thrift alone, so who does not get his turn in time goes on: the store's own lock is what
 * counts. The returned function ends the turn.
 */
export async function takeTurn(options: RenewalTurnOptions): Promise<() => Promise<void>> {
  const { tokensPath, staleMs } = options
  try {
    const how = { timeoutMs: TURN_MS, staleMs, code: 'refresh-failed' } as const
    return await holdFileLock(turnPath(tokensPath), how)
  } catch {
    return async () => {}
  }
}

/** What one who was stopped may cost the others. */
export const TURN_MS = 5_000

/** The lock, which a process may leave that dies with it. */
export const turnPath = (tokensPath: string) => `${tokensPath}.turn`
