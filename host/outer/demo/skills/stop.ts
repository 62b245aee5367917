import type { Skill } from '../skill.ts'
import { describeCall } from '../tool-outputs.ts'

/** Said while the work goes on. */
export const stop: Skill = {
  matches: (prompt) =>
    /^\s*(please\s+)?(stop|cancel|abort|halt|never ?mind)\b.{0,20}$/i.test(prompt),

  nextStep({ earlier }) {
    const before = earlier.at(-1)
    if (!before || before.isFinished) return { text: 'Nothing was going on that could be stopped.' }
    const done = before.calls.map((made) => `- ${describeCall(made)}`).join('\n')
    return { text: `Stopped. ${done ? `Until then:\n\n${done}` : 'Nothing had been done yet.'}` }
  },
}
