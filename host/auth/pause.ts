import { setTimeout } from 'node:timers/promises'

/** Resolves after `ms`; rejects when `signal` fires. */
export type Pause = (ms: number, signal: AbortSignal | undefined) => Promise<void>

export const pauseFor: Pause = async (ms, signal) => {
  await setTimeout(ms, undefined, { signal })
}
