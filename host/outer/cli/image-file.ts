import { CodexboxError } from '../../../shared/errors.ts'
import { readInput } from './input-file.ts'

/**
 * An image as the data URL that a model is given. What it is, is told by its first bytes, whatever it
 * is called.
 * @throws CodexboxError `wrong-use`
 */
export function imageFile(path: string): string {
  const bytes = readInput(path, MAX_BYTES)
  const type = typeOf(bytes)
  if (!type) {
    throw new CodexboxError(
      'wrong-use',
      `${path} is no image that a model takes: there are PNG, JPEG, GIF and WebP.`,
    )
  }
  return `data:${type};base64,${bytes.toString('base64')}`
}

const MAX_BYTES = 10 * 1024 * 1024

function typeOf(bytes: Buffer): string | undefined {
  const begin = bytes.toString('latin1', 0, 16)
  if (begin.startsWith('\x89PNG\r\n\x1a\n')) return 'image/png'
  if (begin.startsWith('\xff\xd8\xff')) return 'image/jpeg'
  if (/^GIF8[79]a/.test(begin)) return 'image/gif'
  if (/^RIFF.{4}WEBP/s.test(begin)) return 'image/webp'
  return undefined
}
