import { z } from 'zod'

/**
 * The issuer's error code, in lower case: `error.code`, else `error`, else `code`, because the issuer
 * uses all three. Empty without a code.
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
