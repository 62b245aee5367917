/**
 * Expands a path of a git config as git does (git-config(1), "pathname"). `homes` are the home folders, by `~` and
 * `~name`. Undefined for paths that only git can expand: another user's home, git's installation folder. Paths are
 * bytes, one character each (latin1).
 */
export function expandConfigPath(
  value: string,
  homes: Readonly<Record<string, string>>,
): string | undefined {
  const path = value.startsWith(OPTIONAL) ? value.slice(OPTIONAL.length) : value
  const [start = ''] = path.split('/', 1)
  if (!start.startsWith('~') && start !== '%(prefix)') return path
  const home = Object.hasOwn(homes, start) ? homes[start] : undefined
  return home === undefined ? undefined : home + path.slice(start.length)
}

/** The prefix of paths that git ignores when missing. */
const OPTIONAL = ':(optional)'
