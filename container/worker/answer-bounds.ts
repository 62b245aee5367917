import { clip } from './clipped-output.ts'
import type { ToolLimits, ToolResult } from './tool.ts'

/** What a tool says about its output. */
const HEAD_BYTES = 8 * 1024

/** Far above what is said at once while a tool runs. */
export const MAX_TEXT_CHARS = 64 * 1024

/** Of all images of a result, as text: the largest file that is looked at has 10 MB. */
export const MAX_IMAGE_CHARS = 16 * 1024 * 1024

/** The result as it may be told: worker and agent both hold it to that. */
export function boundedResult(
  { output, summary, ...rest }: ToolResult,
  { toolOutputBytes }: ToolLimits,
): ToolResult {
  return {
    ...rest,
    output: clip(output, toolOutputBytes + HEAD_BYTES),
    summary: clip(summary, HEAD_BYTES),
  }
}

/** A file of 32 MB as JSON text with every character escaped is still shorter. */
export const MAX_ANSWER_BYTES = 256 * 1024 * 1024
