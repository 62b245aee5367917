import type { Exchange, FinishedCall } from './conversation.ts'
import type { Step } from './step.ts'

/** An ability of the script. It has no state: it derives its progress from the calls made. */
export interface Skill {
  matches(prompt: string): boolean
  /** Must terminate: makes each kind of call once, whatever its outcome. */
  nextStep(task: Task): Step
}

export interface Task {
  prompt: string
  /** The calls made for this prompt so far, with their outputs. */
  calls: readonly FinishedCall[]
  /** Earlier exchanges, oldest first. */
  earlier: readonly Exchange[]
  /** Whether the request offers this tool. */
  can(tool: string): boolean
}

export function lastCall(calls: readonly FinishedCall[], name: string): FinishedCall | undefined {
  return calls.findLast((call) => call.name === name)
}
