import { setupCommand } from '../../../package-root.ts'
import { repertoire } from '../repertoire.ts'
import type { Skill } from '../skill.ts'

const signIn = `To work with a model, sign in with your ChatGPT subscription:\n\n    ${setupCommand('codex-auth')}`

/** Explains codexbox and the demo, and how to sign in. */
export const explain: Skill = {
  matches: (prompt) => QUESTIONS.some((question) => question.test(prompt)),

  nextStep: () => ({
    text: `codexbox runs an agent on your own ChatGPT subscription, in a container that holds nothing worth stealing. You are not signed in, or you chose the demo: a fixed script on this machine stands in for the model. Everything around it is real: the container, the tools, the wire protocol, the session log.

The script knows these requests:

${repertoire}

${signIn}`,
  }),
}

/** The fallback for an unknown prompt. */
export const introduce: Skill = {
  matches: () => true,

  nextStep: () => ({
    text: `I do not understand that: I am a script with a handful of fixed abilities, not a model. You can ask me:

${repertoire}

${signIn}`,
  }),
}

const QUESTIONS = [
  /^\s*(hello|hi|hey|help|good (morning|evening|day))\b[\s\w]{0,20}[\s!?.]*$/i,
  /\byourself\b|\b(who|what) are you\b|\bwhat (else )?can (you|this|it|i ask|i do)\b|^\s*what('s| is) this\b/i,
  /\bare you (a |an |really )*(real|model|demo|script|ai|gpt)\b/i,
  /\b(what is|what's|about|explain|how does) (this |the )?(codexbox|demo)\b/i,
  /\bsign(ing)?[ -]?in\b|\bhow (do|can) i log ?in\b/i,
]
