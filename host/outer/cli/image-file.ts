import { CodexboxError } from '../../../shared/errors.ts'
import { readInput } from './input-file.ts'

/**
 * An image as the data URL for the model. Its first bytes decide its type; its name does not matter.
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
  const signature = bytes.toString('latin1', 0, 16)
  if (signature.startsWith('\x89PNG\r\n\x1a\n')) return 'image/png'
  if (signature.startsWith('\xff\xd8\xff')) return 'image/jpeg'
  if (/^GIF8[79]a/.test(signature)) return 'image/gif'
  if (/^RIFF.{4}WEBP/s.test(signature)) return 'image/webp'
  return undefined
}
