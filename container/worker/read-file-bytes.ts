import { constants, promises as fs } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { ToolError } from './tool.ts'

const CHUNK_BYTES = 512 * 1024

/**
 * The bytes of a text file; messages call it `name`.
 * @throws ToolError for a file that is not regular, longer than `maxBytes`, or holds NUL bytes.
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
  const file = await fs.open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    await check(file, name, maxBytes)
    const bytes = await readUntilPast(maxBytes, file)
    if (bytes.length > maxBytes) throw tooLong(name, `more than ${maxBytes} bytes`)
    return bytes
  } finally {
    await file.close()
  }
}

async function check(file: FileHandle, name: string, maxBytes: number): Promise<void> {
  const stats = await file.stat()
  if (stats.isDirectory()) throw new ToolError(`${name} is a folder; use list_files.`)
  if (!stats.isFile()) throw new ToolError(`${name} is not a regular file.`)
  if (stats.size > maxBytes) throw tooLong(name, `${stats.size} bytes, more than ${maxBytes}`)
}

/**
 * Stops soon after `maxBytes`. The size of a file may be wrong: files in /proc have size 0, and some of
 * them are endless.
 */
async function readUntilPast(maxBytes: number, file: FileHandle): Promise<Buffer> {
  // Always of the same length: some files in /proc are read in whole units only.
  const buffer = Buffer.alloc(CHUNK_BYTES)
  const chunks: Buffer[] = []
  let total = 0
  while (total <= maxBytes) {
    const { bytesRead } = await file.read(buffer)
    if (bytesRead === 0) break
    chunks.push(Buffer.from(buffer.subarray(0, bytesRead)))
    total += bytesRead
  }
  return Buffer.concat(chunks)
}

function tooLong(name: string, size: string): ToolError {
  return new ToolError(`${name} has ${size}; look at parts of it with bash.`)
}
