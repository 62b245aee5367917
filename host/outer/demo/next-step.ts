import type { Exchange } from './conversation.ts'
import { withNumberOf } from './number-in-prompt.ts'
import { DEMO_LINE } from './repertoire.ts'
import type { Skill, Task } from './skill.ts'
import { explain, introduce } from './skills/explain.ts'
import { fixTest } from './skills/fix-test.ts'
import { lookAround } from './skills/look-around.ts'
import { recall } from './skills/recall.ts'
import { runCommand } from './skills/run-command.ts'
import { stop } from './skills/stop.ts'
import { writeProgram } from './skills/write-program.ts'
import type { Step } from './step.ts'

/** The first match handles the prompt, so specific skills come first. */
const skills: readonly Skill[] = [
  runCommand,
  stop,
  recall,
  explain,
  fixTest,
  writeProgram,
  lookAround,
]

/**
 * Chooses the next step from the conversation alone, as a model would: from the last prompt and the
 * tool outputs since.
 */
export function nextStep(exchanges: readonly Exchange[], tools: ReadonlySet<string>): Step {
  const { note, ...task } = currentTask(exchanges, tools)
  const step = (skillFor(task.prompt) ?? introduce).nextStep(task)
  const isLast = !step.calls || step.calls.length === 0
  const text = [note, step.text, isLast ? DEMO_LINE : undefined].filter(Boolean).join('\n\n')
  return { ...step, ...(text ? { text } : {}) }
}

function skillFor(prompt: string): Skill | undefined {
  return skills.find((skill) => skill.matches(prompt))
}

const AGAIN =
  /^\s*(please\s+)?(and\s+|now\s+|do (it|that|this)\s+|try\s+)*(again|once more|one more time|repeat)\b/i

function currentTask(
  exchanges: readonly Exchange[],
  tools: ReadonlySet<string>,
): Task & { note?: string } {
  const earlier = exchanges.slice(0, -1)
  const { prompt, calls } = exchanges.at(-1) ?? { prompt: '', calls: [] }
  const can = (tool: string) => tools.has(tool)

  if (AGAIN.test(prompt)) {
    const repeated = earlier.findLast((exchange) => isRepeatable(exchange.prompt))
    if (repeated) return { prompt: withNumberOf(prompt, repeated.prompt), calls, earlier, can }
  }
  const before = earlier.at(-1)
  if (before && !before.isFinished && !skillFor(prompt)) {
    // A message during a run, or one that resumes it after an interrupt: continue the earlier task.
    const unfinished: Exchange = { ...before, calls: [...before.calls, ...calls] }
    const task = currentTask([...earlier.slice(0, -1), unfinished], tools)
    const note = `You said "${prompt.trim()}". A script cannot weigh that, so it goes on.`
    return calls.length === 0 ? { ...task, note } : task
  }
  return { prompt, calls, earlier, can }
}

/** "Again" repeats a task, not a question about the conversation. */
function isRepeatable(prompt: string): boolean {
  const skill = skillFor(prompt)
  return skill !== undefined && skill !== recall && skill !== stop
}
