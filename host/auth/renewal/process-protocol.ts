import { z } from 'zod'

/** What a renewal process is told, in a line of JSON on its stdin. */
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

/** What it answers to each on its stdout: never a token, for those are in the store. */
export const RenewalResult = z.discriminatedUnion('status', [
  z.object({ status: z.literal('ok') }),
  z.object({
    status: z.literal('failed'),
    code: z.enum(['not-signed-in', 'refresh-failed', 'tokens-invalid']),
    message: z.string(),
    /** For how long the service wants no further try. */
    pauseMs: z.number().optional(),
  }),
])
export type RenewalResult = z.infer<typeof RenewalResult>
