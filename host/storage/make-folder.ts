import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { systemCodeOf } from '../../shared/errors.ts'

/**
 * Makes a folder for this user alone, and what is missing above it. Not by `recursive`: where a file system makes no
 * folders, such as in /proc, Node 20 does not return from that.
 * @throws the system's error
 */
export function makePrivateFolder(folder: string): void {
  if (existsSync(folder)) return
  makePrivateFolder(dirname(folder))
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    // Another process was faster.
    if (systemCodeOf(error) !== 'EEXIST') throw error
  }
}
