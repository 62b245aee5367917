import { z } from 'zod'

/**
 * The code by which the issuer refuses, in small letters: `error.code`, else `error`, else `code`, for
 * it uses all three. Empty when there is none.
 */
export function errorCodeOf(json: unknown): string {
  const { error, code } = ErrorAnswer.safeParse(json).data ?? {}
  const named = typeof error === 'string' ? error : error?.code
  return (named ?? code ?? '').toLowerCase()
}

const ErrorAnswer = z.object({
  error: z
    .union([z.string(), z.object({ code: z.string().optional().catch(undefined) })])
    .optional()
    .catch(undefined),
  code: z.string().optional().catch(undefined),
})
