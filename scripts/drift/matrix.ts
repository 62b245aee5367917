import { type Exchange, failedAnswer, textAnswer } from '../../test/fakes/model-server.ts'
import type { OfficialClient } from './client.ts'
import { inParallel } from './in-parallel.ts'
import { isModelRequest, playRecording } from './play.ts'

/** The client's reaction to one bad response followed by good ones. */
export interface Matrix {
  client: string
  status: Row<{ status: number; body: unknown }>[]
  failed_code: Row<{ code: string | null; message: string }>[]
  try_again_hint: Row<{ code: string; message: string; gap_ms: number }>[]
  usage_limit_plan: Row<{ plan_type: string | null }>[]
  usage_limit_reset: Row<{ resets_at?: number; resets_in_seconds?: number }>[]
}
type Row<T> = T & { requests: number }

/** Records the matrix with this client. */
export async function playMatrix(
  client: OfficialClient,
  recorded: Matrix,
  models: unknown,
): Promise<Matrix> {
  const playRows = async <R extends { requests: number; gap_ms?: number }>(
    rows: readonly R[],
    exchangeOf: (row: R) => Exchange,
  ): Promise<R[]> =>
    inParallel(rows, async (row) => {
      const first = await playRow(row, exchangeOf)
      return JSON.stringify(first) === JSON.stringify(row) ? first : playRow(row, exchangeOf)
    })
  const playRow = async <R extends { requests: number; gap_ms?: number }>(
    row: R,
    exchangeOf: (row: R) => Exchange,
  ): Promise<R> => {
    const exchanges = [exchangeOf(row), textAnswer(), textAnswer()]
    const { seen } = await playRecording(
      client,
      { client: { args: [['-m', 'gpt-5.5', 'Say hello.']] }, exchanges },
      models,
    )
    const requests = seen.filter(isModelRequest)
    const gap = (requests[1]?.at ?? 0) - (requests[0]?.at ?? 0)
    const { gap_ms } = row
    return {
      ...row,
      requests: requests.length,
      ...(gap_ms === undefined ? {} : { gap_ms: recordedIfClose(gap_ms, gap) }),
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
    status: await playRows(recorded.status, ({ status, body }) => ({ status, body })),
    failed_code: await playRows(recorded.failed_code, ({ code, message }) =>
      failedAnswer(code, message),
    ),
    try_again_hint: await playRows(recorded.try_again_hint, ({ code, message }) =>
      failedAnswer(code, message),
    ),
    usage_limit_plan: await playRows(recorded.usage_limit_plan, ({ plan_type }) =>
      limit({ plan_type }),
    ),
    usage_limit_reset: await playRows(recorded.usage_limit_reset, ({ requests: _, ...reset }) =>
      limit({ plan_type: 'pro', ...reset }),
    ),
  }
}

/** The recorded wait if the observed one is close to it: no two waits are equal, least on a busy machine. */
function recordedIfClose(recordedMs: number, seenMs: number): number {
  const isSame = seenMs > recordedMs * 0.8 - 40 && seenMs < recordedMs * 1.3 + 800
  return isSame ? recordedMs : Math.round(seenMs)
}
