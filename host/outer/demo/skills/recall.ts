import type { Exchange } from '../conversation.ts'
import type { Skill } from '../skill.ts'
import { describeCall } from '../tool-outputs.ts'

/** Lists the prompts and calls of the conversation so far. */
export const recall: Skill = {
  matches: (prompt) =>
    /\bwhat (did|have) you (just )?(do|done|did)\b|\bwhat (just )?happened\b|\b(which|what) (calls|commands|tools) (did|have|were)\b/i.test(
      prompt,
    ),

  nextStep({ earlier }) {
    if (earlier.length === 0) return { text: 'Nothing yet: this is the start of the conversation.' }
    return { text: `In this conversation so far:\n\n${earlier.map(describe).join('\n\n')}` }
  },
}

function describe({ prompt, calls, isFinished }: Exchange): string {
  const entries = calls.map((call, index) => `  ${index + 1}. ${describeCall(call)}`)
  const lines = entries.length > 0 ? entries : ['  no tool was used']
  return [`You asked: ${prompt.trim()}`, ...lines, ...(isFinished ? [] : ['  (unfinished)'])].join(
    '\n',
  )
}
