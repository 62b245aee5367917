import type { Usage } from './protocol.ts'

/** Of a run that has not been answered. */
export const NO_USAGE: Readonly<Usage> = {
  inputTokens: 0,
  cachedInputTokens: 0,
  outputTokens: 0,
  reasoningTokens: 0,
}
