import { z } from 'zod'

/** One window of a limit: five hours and a week are usual. */
export const LimitWindow = z.object({
  usedPercent: z.number().nonnegative(),
  windowMinutes: z.number().positive().optional(),
  /** Epoch ms. */
  resetsAt: z.number().int().nonnegative().optional(),
})
export type LimitWindow = z.infer<typeof LimitWindow>

/** A limit of the plan: `codex` is the general one, others are for a model or a feature. */
export const Limit = z.object({
  id: z.string(),
  name: z.string().optional(),
  primary: LimitWindow.optional(),
  secondary: LimitWindow.optional(),
})
export type Limit = z.infer<typeof Limit>

/** What the service says about the limits of a plan. */
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
  /** What kind of limit that was, in the service's words: of a workspace's credits, for one. */
  reachedType: z.string().optional(),
})
export type Limits = z.infer<typeof Limits>
