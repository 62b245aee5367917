/**
 * Whether a path below the searched folder is one that `glob` asks for. Without a slash it is about the
 * name, at any depth, of the file or of a folder it is in; `!` in front asks for all others.
 */
export function matchesGlob(path: string, glob: string): boolean {
  if (glob.startsWith('!')) return !matchesGlob(path, glob.slice(1))
  const isAboutNames = !glob.replace(/\/$/, '').includes('/')
  const body = expression(glob.replace(/^\//, '').replace(/\/$/, ''))
  return new RegExp(`^${isAboutNames ? '(?:.*/)?' : ''}${body}(?:/.*)?$`, 's').test(path)
}

function expression(glob: string): string {
  let result = ''
  let depth = 0
  for (const [part] of glob.matchAll(/\*\*\/|\*\*|\[!?\]?[^\]]*\]|\\.|[\s\S]/g)) {
    if (part === '**/') result += '(?:.*/)?'
    else if (part === '**') result += '.*'
    else if (part === '*') result += '[^/]*'
    else if (part === '?') result += '[^/]'
    else if (part === '{') {
      depth++
      result += '(?:'
    } else if (part === '}' && depth > 0) {
      depth--
      result += ')'
    } else if (part === ',' && depth > 0) result += '|'
    else if (part.length > 1 && part.startsWith('[')) result += characterClass(part)
    else result += escaped(part.length === 2 && part.startsWith('\\') ? part.slice(1) : part)
  }
  return result + ')'.repeat(depth)
}

function characterClass(part: string): string {
  const isNegated = part.startsWith('[!')
  const members = part.slice(isNegated ? 2 : 1, -1).replace(/[\\\]^[]/g, '\\$&')
  return `[${isNegated ? '^/' : ''}${members}]`
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}
