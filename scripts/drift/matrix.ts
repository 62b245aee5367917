import { type Exchange, failedAnswer, textAnswer } from '../../test/fakes/model-server.ts'
import type { OfficialClient } from './client.ts'
import { inParallel } from './in-parallel.ts'
import { isModelRequest, playRecording } from './play.ts'

/** What the client did about one bad answer followed by good ones. */
export interface Matrix {
  client: string
  status: Row<{ status: number; body: unknown }>[]
  failed_code: Row<{ code: string | null; message: string }>[]
  try_again_hint: Row<{ code: string; message: string; gap_ms: number }>[]
  usage_limit_plan: Row<{ plan_type: string | null }>[]
  usage_limit_reset: Row<{ resets_at?: number; resets_in_seconds?: number }>[]
}
type Row<T> = T & { requests: number }

/** The matrix as it would be recorded of this client. */
export async function playMatrix(
  client: OfficialClient,
  recorded: Matrix,
  models: unknown,
): Promise<Matrix> {
  const played = async <R extends { requests: number; gap_ms?: number }>(
    rows: readonly R[],
    exchangeOf: (row: R) => Exchange,
  ): Promise<R[]> =>
    inParallel(rows, async (row) => {
      const first = await playedOnce(row, exchangeOf)
      return JSON.stringify(first) === JSON.stringify(row) ? first : playedOnce(row, exchangeOf)
    })
  const playedOnce = async <R extends { requests: number; gap_ms?: number }>(
    row: R,
    exchangeOf: (row: R) => Exchange,
  ): Promise<R> => {
    const exchanges = [exchangeOf(row), textAnswer(), textAnswer()]
    const { seen } = await playRecording(
      client,
      { client: { args: [['-m', 'gpt-5.5', 'Say hello.']] }, exchanges },
      models,
    )
    const asked = seen.filter(isModelRequest)
    const gap = (asked[1]?.at ?? 0) - (asked[0]?.at ?? 0)
    const { gap_ms } = row
    return {
      ...row,
      requests: asked.length,
      ...(gap_ms === undefined ? {} : { gap_ms: nearly(gap_ms, gap) }),
    }
  }
  const limit = (fields: object): Exchange => ({
    status: 429,
    body: {
      error: { type: 'usage_limit_reached', message: 'The usage limit is reached', ...fields },
    },
  })
  return {
    ...recorded,
    status: await played(recorded.status, ({ status, body }) => ({ status, body })),
    failed_code: await played(recorded.failed_code, ({ code, message }) =>
      failedAnswer(code, message),
    ),
    try_again_hint: await played(recorded.try_again_hint, ({ code, message }) =>
      failedAnswer(code, message),
    ),
    usage_limit_plan: await played(recorded.usage_limit_plan, ({ plan_type }) =>
      limit({ plan_type }),
    ),
    usage_limit_reset: await played(recorded.usage_limit_reset, ({ requests: _, ...reset }) =>
      limit({ plan_type: 'pro', ...reset }),
    ),
  }
}

/** What was recorded, if the wait was that one: no two are the same, on a busy machine least of all. */
function nearly(recordedMs: number, seenMs: number): number {
  const isSame = seenMs > recordedMs * 0.8 - 40 && seenMs < recordedMs * 1.3 + 800
  return isSame ? recordedMs : Math.round(seenMs)
}
