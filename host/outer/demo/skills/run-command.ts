import { lastCall, type Skill } from '../skill.ts'
import { call } from '../step.ts'
import { quote, readCommandResult } from '../tool-outputs.ts'

/** `run: <command>`, or a command in backticks after the word run. */
export const runCommand: Skill = {
  matches: (prompt) => commandIn(prompt) !== undefined,

  nextStep({ prompt, calls, can }) {
    const command = commandIn(prompt) ?? ''
    const done = lastCall(calls, 'bash')
    if (done) {
      const { outcome, output } = readCommandResult(done.output)
      const shown = output ? `It printed:\n\n${quote(output)}` : 'It printed nothing.'
      return { text: `\`${command}\` ended (${outcome}). ${shown}` }
    }
    if (!can('bash')) return { text: 'There is no `bash` among the tools I was given.' }
    return {
      reasoning: '**Running a command**\n\nThe prompt names a command, so it is run as it stands.',
      calls: [call('bash', { command })],
    }
  },
}

const FORMS = [
  /^\s*(?:please\s+)?run\s*:\s*`{3}\w*\n([\s\S]+?)`{3}/i,
  /^\s*(?:please\s+)?run\s*:\s*`([^`]+)`\s*\.?\s*$/i,
  /^\s*(?:please\s+)?run\s*:\s*([\s\S]+)/i,
  /\brun\s+(?:the\s+|this\s+)?(?:command\s+)?(?:`{3}\w*\n([\s\S]+?)`{3}|`([^`]+)`)/i,
]

function commandIn(prompt: string): string | undefined {
  for (const form of FORMS) {
    const [, ...found] = form.exec(prompt) ?? []
    const command = found.find(Boolean)?.trim()
    if (command) return command
  }
  return undefined
}
