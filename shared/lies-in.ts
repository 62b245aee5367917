import { isAbsolute, relative, sep } from 'node:path'

/** Whether `path` is `folder` or below it, by name only: links are not followed. Both are absolute. */
export function liesIn(path: string, folder: string): boolean {
  const rest = relative(folder, path)
  return rest !== '..' && !rest.startsWith(`..${sep}`) && !isAbsolute(rest)
}
