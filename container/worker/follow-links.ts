import { promises as fs } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { systemCodeOf } from '../../shared/errors.ts'

/** The end of the links: a link stays a link, and its target is replaced, or made if it is missing. */
export async function followLinks(path: string): Promise<string> {
  try {
    return await fs.realpath(path)
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error
  }
  const next = await linkTarget(path)
  return next === undefined ? path : followLinks(next)
}

/** Undefined when `path` is missing, or is a file by now: another call may just have made it. */
async function linkTarget(path: string): Promise<string | undefined> {
  try {
    return resolve(await fs.realpath(dirname(path)), await fs.readlink(path))
  } catch (error) {
    const code = systemCodeOf(error)
    if (code === 'ENOENT' || code === 'EINVAL') return undefined
    throw error
  }
}

/** Undefined when the path is missing. */
export async function existing(path: string) {
  try {
    return await fs.stat(path)
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
}
