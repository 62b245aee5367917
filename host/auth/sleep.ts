import { setTimeout } from 'node:timers/promises'

/** Resolves after `ms`; rejects when `signal` fires. */
export type Sleep = (ms: number, signal: AbortSignal | undefined) => Promise<void>

export const sleepFor: Sleep = async (ms, signal) => {
  await setTimeout(ms, undefined, { signal })
}
