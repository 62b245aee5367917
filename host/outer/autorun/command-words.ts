/**
 * Words of a command that may be paths in the workspace, of a program or of an interpreter's script; extra words do no
 * harm. The command is for a shell, and quoted words may be commands themselves (`sh -c '…'`). Takes linear time.
 */
export function commandWords(command: string): string[] {
  const found = new Set<string>()
  // Git runs some values without a shell, as one path.
  if (command.includes('/') && command.length <= MAX_WORD) found.add(command)
  addWords(command, found, MAX_NESTED)
  return [...found]
}

/** Levels of nested commands. */
const MAX_NESTED = 3

/** Maximum length of a path. */
const MAX_WORD = 4096

function addWords(command: string, found: Set<string>, nested: number): void {
  const [first, ...others] = shellWords(command)
  // A first word without a slash is resolved by the user's PATH.
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

/** Splits a command by a shell's quoting rules; variables are not expanded. */
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

/** In double quotes a backslash escapes only these. */
const ESCAPED = new Set('$`"\\\n')

const ENDS = new Set(' \t\r\n;|&<>(){}`,!')

/** A word may be `$DIR/tools/x`, of which only the end is known. */
function withEnds(path: string): string[] {
  const names = path.split('/')
  const count = Math.min(names.length, MAX_ENDS)
  return Array.from({ length: count }, (_, i) => names.slice(i).join('/')).filter(Boolean)
}

const MAX_ENDS = 10
