/** What the script does next: calls, or, without any, its last word in this run. */
export interface Step {
  /** Why, for the person watching: shown as the summary of the reasoning. */
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
