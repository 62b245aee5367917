/** One turn of the script: tool calls, or, without any, the final answer of the run. */
export interface Step {
  /** Shown as the summary of the reasoning. */
  reasoning?: string
  text?: string
  calls?: ToolRequest[]
}

export interface ToolRequest {
  name: string
  arguments: Record<string, unknown>
}

export const call = (name: string, args: Record<string, unknown>): ToolRequest => ({
  name,
  arguments: args,
})
