import type { ToolResult } from '../worker/tool.ts'

/** A running call may have taken effect; the model must not simply repeat it. */
export function lostResult(reason: string): ToolResult {
  return {
    ok: false,
    output:
      `error: the process that runs the tools was lost (${reason}); whether this was carried out, ` +
      'wholly or in part, is not known; a new process is started',
    summary: 'the tool process was lost',
  }
}

export function notStartedResult(why: string): ToolResult {
  return {
    ok: false,
    output: `error: this was not carried out: the process that runs the tools could not be started: ${why}`,
    summary: 'the tool process could not be started',
  }
}
