/**
 * What commander says of arguments that it does not understand, as a sentence like those of all other
 * errors: `error: unknown option '--jsn'\n(Did you mean --json?)`.
 */
export function notUnderstood(text: string): string {
  const [what = '', guess = ''] = text
    .replace(/^error: /, '')
    // All that it says of `help NAME`, below a help that is not asked for.
    .replace('(outputHelp)', 'there is no such command')
    .trim()
    .split('\n')
  const isPrompt = /^too many arguments(?! for '(?!run'))/.test(what)
  const said = what.replace('. Expected', ', expected').replace(/\.$/, '')
  const meant = guess && ` ${guess.replace('(D', '(d')}`
  const advice = isPrompt ? 'a prompt of several words needs quotes' : '--help says what there is'
  return `${said.charAt(0).toUpperCase()}${said.slice(1)}${meant}; ${advice}.`
}
