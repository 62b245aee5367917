import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { CodexboxError, systemCodeOf } from '../../../shared/errors.ts'

/** Reads a file named on the command line. @throws CodexboxError `wrong-use` */
export function readInput(path: string, maxBytes: number): Buffer {
  const refuse = (what: string, cause?: unknown) =>
    new CodexboxError('wrong-use', `${path} cannot be used: ${what}.`, { cause })
  let descriptor: number
  try {
    // Without O_NONBLOCK, opening a FIFO would block for ever.
    descriptor = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
  } catch (error) {
    throw refuse(`it cannot be opened (${systemCodeOf(error)})`, error)
  }
  try {
    const stats = fstatSync(descriptor)
    if (!stats.isFile()) throw refuse('it is not a regular file')
    if (stats.size > maxBytes) throw refuse(`it is larger than ${maxBytes / 1024 / 1024} MB`)
    return readFileSync(descriptor)
  } catch (error) {
    if (error instanceof CodexboxError) throw error
    throw refuse(`it cannot be read (${systemCodeOf(error)})`, error)
  } finally {
    closeSync(descriptor)
  }
}
