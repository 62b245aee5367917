import { CodexboxError } from '../shared/errors.ts'

/** Undefined when the folder was removed while a shell was in it. */
export function currentFolder(): string | undefined {
  try {
    return process.cwd()
  } catch {
    return undefined
  }
}

/** @throws CodexboxError `workspace-invalid` when the folder was removed */
export function neededCurrentFolder(): string {
  const folder = currentFolder()
  if (folder !== undefined) return folder
  throw new CodexboxError(
    'workspace-invalid',
    'The current folder is no longer there. Change to another one (cd), or name it by its whole path.',
  )
}
