import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileIdentity } from './mount-source.ts'

/** The path and every folder above it. */
export function pathAndAbove(path: string): string[] {
  const parent = dirname(path)
  return parent === path ? [path] : [path, ...pathAndAbove(parent)]
}

/** `device:inode`; undefined for a path that is missing or not visible to this user. */
export function identityAt(path: string): string | undefined {
  try {
    return fileIdentity(statSync(path, { bigint: true }))
  } catch {
    return undefined
  }
}
