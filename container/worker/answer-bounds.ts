import { clip } from './clipped-output.ts'
import type { ToolLimits, ToolResult } from './tool.ts'

/** What a tool says about its output. */
const HEAD_BYTES = 8 * 1024

/** Far above what is said at once while a tool runs. */
export const MAX_TEXT_CHARS = 64 * 1024

/** Of all images of a result, as text: the largest file that is looked at has 10 MB. */
export const MAX_IMAGE_CHARS = 16 * 1024 * 1024

/** The longest that JSON makes of a byte: `\u0000`. */
const ESCAPED_CHARS = 6

/** Names of fields, the commands of sessions, what a clipped text says of itself. */
const OTHER_CHARS = 64 * 1024

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

/** The longest line that a worker has to say: a bounded result, each of its bytes escaped. */
export function maxAnswerBytes({ toolOutputBytes }: ToolLimits): number {
  return (
    ESCAPED_CHARS * (toolOutputBytes + 2 * HEAD_BYTES + MAX_TEXT_CHARS) +
    MAX_IMAGE_CHARS +
    OTHER_CHARS
  )
}
