import { z } from 'zod'

/** One window of a limit, usually five hours or a week. */
export const LimitWindow = z.object({
  usedPercent: z.number().nonnegative(),
  windowMinutes: z.number().positive().optional(),
  /** Epoch ms. */
  resetsAt: z.number().int().nonnegative().optional(),
})
export type LimitWindow = z.infer<typeof LimitWindow>

/** A limit of the plan: `codex` is the general limit, others are for a model or a feature. */
export const Limit = z.object({
  id: z.string(),
  name: z.string().optional(),
  primary: LimitWindow.optional(),
  secondary: LimitWindow.optional(),
})
export type Limit = z.infer<typeof Limit>

/** The limits of a plan, as the service reports them. */
export const Limits = z.object({
  plan: z.string().optional(),
  limits: z.array(Limit),
  credits: z
    .object({
      hasCredits: z.boolean(),
      unlimited: z.boolean(),
      /** As the service writes it. */
      balance: z.string().optional(),
    })
    .optional(),
  /** The id of the limit that stopped a request. */
  reached: z.string().optional(),
  /** The kind of that limit, in the service's words, such as the credits of a workspace. */
  reachedType: z.string().optional(),
})
export type Limits = z.infer<typeof Limits>
