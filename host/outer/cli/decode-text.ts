import { CodexboxError } from '../../../shared/errors.ts'

/**
 * Decodes UTF-8, or UTF-16 with a byte order mark, which PowerShell writes; drops the mark. Other
 * encodings are refused: the model would get another text than the user's. `source` names the input in messages.
 * @throws CodexboxError `wrong-use`
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
