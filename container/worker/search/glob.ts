/**
 * Whether a path below the searched folder matches `glob`. A glob without a slash matches names, at any
 * depth; `!` in front selects all other paths, and excludes the content of a folder that it matches.
 */
export function matchesGlob(path: string, glob: string): boolean {
  if (glob.startsWith('!')) return !expression(glob.slice(1), '(?:/.*)?').test(path)
  return expression(glob, '').test(path)
}

function expression(glob: string, rest: string): RegExp {
  const isAboutNames = !glob.replace(/\/$/, '').includes('/')
  const body = translated(glob.replace(/^\//, '').replace(/\/$/, ''))
  return new RegExp(`^${isAboutNames ? '(?:.*/)?' : ''}${body}${rest}$`, 's')
}

function translated(glob: string): string {
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
