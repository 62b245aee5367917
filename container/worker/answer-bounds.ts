import { clip } from './clipped-output.ts'
import type { ToolLimits, ToolResult } from './tool.ts'

/** For a tool's own notes about its output. */
const HEAD_BYTES = 8 * 1024

/** Far above one `output` line of a running tool. */
export const MAX_TEXT_CHARS = 64 * 1024

/** Of all images of a result, as data URLs: view_image takes files of at most 10 MB. */
export const MAX_IMAGE_CHARS = 16 * 1024 * 1024

/** The longest JSON escape of a byte: `\u0000`. */
const ESCAPED_CHARS = 6

/** For field names, the commands of sessions, the note inside a clipped text. */
const OTHER_CHARS = 64 * 1024

/** The result clipped to its bounds; worker and agent both apply it. */
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

/** The longest line of a worker: a bounded result, each of its bytes escaped. */
export function maxAnswerBytes({ toolOutputBytes }: ToolLimits): number {
  return (
    ESCAPED_CHARS * (toolOutputBytes + 2 * HEAD_BYTES + MAX_TEXT_CHARS) +
    MAX_IMAGE_CHARS +
    OTHER_CHARS
  )
}
