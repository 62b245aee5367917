import { isAbsolute, relative, sep } from 'node:path'

/** Whether `path` is `folder` or below it, by the names alone: no link is followed. Both are absolute. */
export function liesIn(path: string, folder: string): boolean {
  const way = relative(folder, path)
  return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way)
}
