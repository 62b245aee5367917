/**
 * What of a command may be the path of a program in the workspace, or of what an interpreter is to run; too many are no
 * harm. The command is one for a shell, or words in quotes that are one themselves (`sh -c '…'`). Takes time in
 * proportion to its length.
 */
export function commandWords(command: string): string[] {
  const found = new Set<string>()
  // Some are called without a shell, as a whole.
  if (command.includes('/') && command.length <= MAX_WORD) found.add(command)
  addWords(command, found, MAX_NESTED)
  return [...found]
}

/** A command in a command in a command. */
const MAX_NESTED = 3

/** A path has no more. */
const MAX_WORD = 4096

function addWords(command: string, found: Set<string>, nested: number): void {
  const [first, ...others] = shellWords(command)
  // The first one is looked for in the user's PATH if it is no path.
  const paths = [...(first?.includes('/') ? [first] : []), ...others]
  for (const path of paths) {
    if (path.length > MAX_WORD) continue
    // `--option=PATH` and `NAME=PATH` as well.
    for (const word of [path, path.slice(path.indexOf('=') + 1)]) {
      if (word.startsWith('-')) continue
      for (const each of /[$`~]/.test(command) ? withEnds(word) : [word]) found.add(each)
    }
  }
  if (nested === 0) return
  for (const word of [first ?? '', ...others]) {
    if (/[\s;&|(]/.test(word) && word !== command) addWords(word, found, nested - 1)
  }
}

/** The words of a command, by the quotes of a shell; what a shell would put in for a variable is left as it is. */
function shellWords(command: string): string[] {
  const words: string[] = []
  let word = ''
  let quote = ''
  for (let at = 0; at < command.length; at++) {
    const char = command[at] ?? ''
    const next = command[at + 1] ?? ''
    if (char === '\\' && (quote === '' || (quote === '"' && ESCAPED.has(next)))) {
      word += next
      at++
    } else if (char === quote) {
      quote = ''
    } else if (quote === '' && (char === '"' || char === "'")) {
      quote = char
    } else if (quote === '' && ENDS.has(char)) {
      words.push(word)
      word = ''
    } else word += char
  }
  return [...words, word].filter(Boolean)
}

/** In double quotes, a backslash stands for itself before anything else. */
const ESCAPED = new Set('$`"\\\n')

const ENDS = new Set(' \t\r\n;|&<>(){}`,!')

/** `DIR/tools/x` may stand for `$DIR/tools/x`, of which we know the end only. */
function withEnds(path: string): string[] {
  const names = path.split('/')
  const count = Math.min(names.length, MAX_ENDS)
  return Array.from({ length: count }, (_, i) => names.slice(i).join('/')).filter(Boolean)
}

const MAX_ENDS = 10
