import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { ToolError } from './tool.ts'

/**
 * The bytes of a text file; `name` is what messages call it.
 * @throws ToolError for what is no regular file, longer than `maxBytes`, or holds NUL bytes.
 */
export async function readTextBytes(path: string, name: string, maxBytes: number): Promise<Buffer> {
  const bytes = await readFileBytes(path, name, maxBytes)
  if (bytes.includes(0)) {
    throw new ToolError(
      `${name} is not a text file (${bytes.length} bytes); use bash to inspect it.`,
    )
  }
  return bytes
}

/** The bytes of any regular file, like `readTextBytes`. */
export async function readFileBytes(path: string, name: string, maxBytes: number): Promise<Buffer> {
  // Without O_NONBLOCK opening a named pipe would wait for a writer for ever.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    await check(file, name, maxBytes)
    return await file.readFile()
  } finally {
    await file.close()
  }
}

async function check(file: FileHandle, name: string, maxBytes: number): Promise<void> {
  const stats = await file.stat()
  if (stats.isDirectory()) throw new ToolError(`${name} is a folder; use list_files.`)
  if (!stats.isFile()) throw new ToolError(`${name} is not a regular file.`)
  if (stats.size > maxBytes) {
    throw new ToolError(
      `${name} has ${stats.size} bytes, more than ${maxBytes}; look at parts of it with bash.`,
    )
  }
}
