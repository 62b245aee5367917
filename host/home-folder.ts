import { homedir } from 'node:os'
import { isAbsolute } from 'node:path'

/** The home folder of this user; undefined where neither HOME nor the user database has one. */
export function homeFolder(): string | undefined {
  try {
    const folder = homedir()
    return isAbsolute(folder) ? folder : undefined
  } catch {
    return undefined
  }
}
