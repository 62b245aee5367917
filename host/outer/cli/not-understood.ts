/**
 * Turns commander's message about wrong arguments into a sentence like those of all other errors.
 * Input: `error: unknown option '--jsn'\n(Did you mean --json?)`.
 */
export function notUnderstood(text: string): string {
  const [problem = '', guess = ''] = text
    .replace(/^error: /, '')
    // For an unknown `help NAME`, commander prints the general help and this message.
    .replace('(outputHelp)', 'there is no such command')
    .trim()
    .split('\n')
  const isPrompt = /^too many arguments(?! for '(?!run'))/.test(problem)
  const message = problem.replace('. Expected', ', expected').replace(/\.$/, '')
  const suggestion = guess && ` ${guess.replace('(D', '(d')}`
  const advice = isPrompt ? 'a prompt of several words needs quotes' : '--help says what there is'
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}${suggestion}; ${advice}.`
}
