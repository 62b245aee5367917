import type { Usage } from './protocol.ts'

/** The usage of a run without an answer. */
export const NO_USAGE: Readonly<Usage> = {
  inputTokens: 0,
  cachedInputTokens: 0,
  outputTokens: 0,
  reasoningTokens: 0,
}
