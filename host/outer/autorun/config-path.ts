/**
 * A path of a git config as git expands it (git-config(1), "pathname"). `homes` are the home folders, by `~` and
 * `~name`. Undefined where git knows more than we do: the home of another user, the folder that git is installed in.
 * Paths are bytes, one character each (latin1).
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

/** Git leaves out what is not there, where this stands in front. */
const OPTIONAL = ':(optional)'
