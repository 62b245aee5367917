import { CodexboxError } from '../../../shared/errors.ts'

/**
 * The text of bytes in UTF-8, or in UTF-16 with a byte order mark, which PowerShell writes; without the mark. Other
 * bytes are refused, since a model would get something else than what was written.
 * @throws CodexboxError `wrong-use`. `source` is where they came from, for the message.
 */
export function decodeText(bytes: Uint8Array, source: string): string {
  const [encoding, isUtf16] = encodingOf(bytes)
  let text: string
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(bytes)
  } catch (error) {
    throw new CodexboxError(
      'wrong-use',
      `The text on ${source} is no ${isUtf16 ? 'UTF-16' : 'UTF-8'}. Convert it, such as with \`iconv -f latin1 -t utf-8\`.`,
      { cause: error },
    )
  }
  if (!text.includes('\0')) return text
  throw new CodexboxError(
    'wrong-use',
    `There are NUL bytes in what comes on ${source}: it is no text, or UTF-16 without a byte order mark. ` +
      'Convert it, such as with `iconv -f utf-16le -t utf-8`.',
  )
}

function encodingOf([first, second]: Uint8Array): [encoding: string, isUtf16: boolean] {
  if (first === 0xff && second === 0xfe) return ['utf-16le', true]
  if (first === 0xfe && second === 0xff) return ['utf-16be', true]
  return ['utf-8', false]
}
