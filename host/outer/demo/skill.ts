import type { Exchange, FinishedCall } from './conversation.ts'
import type { Step } from './step.ts'

/** One thing the script can do. It keeps no state: where it stands it reads from the calls made. */
export interface Skill {
  matches(prompt: string): boolean
  /** Must end: each kind of call is made once, however it went. */
  nextStep(task: Task): Step
}

export interface Task {
  prompt: string
  /** Made for this prompt so far, with their outputs. */
  calls: readonly FinishedCall[]
  /** What was asked before, oldest first. */
  earlier: readonly Exchange[]
  /** Whether a tool of this name is on offer. */
  can(tool: string): boolean
}

export function lastCall(calls: readonly FinishedCall[], name: string): FinishedCall | undefined {
  return calls.findLast((call) => call.name === name)
}
