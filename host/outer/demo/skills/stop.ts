import type { Skill } from '../skill.ts'
import { describeCall } from '../tool-outputs.ts'

/** Stops a task that is in progress. */
export const stop: Skill = {
  matches: (prompt) =>
    /^\s*(please\s+)?(stop|cancel|abort|halt|never ?mind)\b.{0,20}$/i.test(prompt),

  nextStep({ earlier }) {
    const before = earlier.at(-1)
    if (!before || before.isFinished) return { text: 'Nothing was going on that could be stopped.' }
    const done = before.calls.map((call) => `- ${describeCall(call)}`).join('\n')
    return { text: `Stopped. ${done ? `Until then:\n\n${done}` : 'Nothing had been done yet.'}` }
  },
}
