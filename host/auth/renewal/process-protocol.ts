import { z } from 'zod'

/** A request to a renewal process: a line of JSON on its stdin. */
export const RenewalRequest = z.object({
  dataDir: z.string(),
  issuer: z.url(),
  accessToken: z.string(),
  wasRejected: z.boolean(),
  timeoutMs: z.number().optional(),
  lockTimeoutMs: z.number().optional(),
  staleMs: z.number().optional(),
})
export type RenewalRequest = z.infer<typeof RenewalRequest>

/** The result of each request, a line on its stdout. Never a token: tokens are in the store. */
export const RenewalResult = z.discriminatedUnion('status', [
  z.object({ status: z.literal('ok') }),
  z.object({
    status: z.literal('failed'),
    code: z.enum(['not-signed-in', 'refresh-failed', 'tokens-invalid']),
    message: z.string(),
    /** How long the service wants no further attempt. */
    pauseMs: z.number().optional(),
  }),
])
export type RenewalResult = z.infer<typeof RenewalResult>
