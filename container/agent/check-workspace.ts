import { type Stats, statSync } from 'node:fs'
import { CodexboxError, messageOf, systemCodeOf } from '../../shared/errors.ts'

/**
 * Checks that there is a folder for the tools to work in: without one each call would fail, after a
 * model request that was for nothing. A folder that only the tools may read passes, and so does a
 * read-only one, which is intended.
 * @throws CodexboxError `workspace-invalid`
 */
export function checkWorkspace(path: string): void {
  const stats = statsOf(path)
  if (stats && !stats.isDirectory()) throw invalid(path, 'is not a folder')
}

function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path)
  } catch (error) {
    if (systemCodeOf(error) === 'EACCES') return undefined
    throw invalid(path, `cannot be found (${messageOf(error)})`)
  }
}

function invalid(path: string, why: string): CodexboxError {
  return new CodexboxError(
    'workspace-invalid',
    `The workspace ${path} ${why} where the agent runs. Mount the folder there, or name another one.`,
  )
}
