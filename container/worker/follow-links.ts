import { promises as fs } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { systemCodeOf } from '../../shared/errors.ts'

/** A link stays a link: what it points to is replaced, or made if there is nothing yet. */
export async function followLinks(path: string): Promise<string> {
  try {
    return await fs.realpath(path)
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error
  }
  const next = await linkTarget(path)
  return next === undefined ? path : followLinks(next)
}

/** Undefined when `path` is not there, or is a file by now: another call may just have made it. */
async function linkTarget(path: string): Promise<string | undefined> {
  try {
    return resolve(await fs.realpath(dirname(path)), await fs.readlink(path))
  } catch (error) {
    const code = systemCodeOf(error)
    if (code === 'ENOENT' || code === 'EINVAL') return undefined
    throw error
  }
}

/** Undefined when there is nothing. */
export async function existing(path: string) {
  try {
    return await fs.stat(path)
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
}
