import { type Stats, statSync } from 'node:fs'
import { CodexboxError, messageOf, systemCodeOf } from '../../shared/errors.ts'

/**
 * That there is a folder for the tools to work in: without one each call would fail, and a model be
 * asked for nothing. What only they may look at is theirs to judge, and one that is read-only is meant so.
 * @throws CodexboxError `workspace-invalid`
 */
export function checkWorkspace(path: string): void {
  const stats = look(path)
  if (stats && !stats.isDirectory()) throw invalid(path, 'is not a folder')
}

function look(path: string): Stats | undefined {
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
