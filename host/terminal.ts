/**
 * Whether `stream` is a terminal that interprets escape sequences: colour, cursor movement, editing. A dumb
 * terminal, such as a shell in an editor, shows them as text.
 */
export function takesEscapes(stream: { isTTY?: boolean | undefined }, env = process.env): boolean {
  return stream.isTTY === true && env.TERM !== 'dumb'
}
