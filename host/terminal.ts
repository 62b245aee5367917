/**
 * Whether `stream` is a terminal that does what escape sequences ask for: colour, a line that moves, editing. One that
 * says that it is dumb, such as a shell in an editor, shows them as text.
 */
export function takesEscapes(stream: { isTTY?: boolean | undefined }, env = process.env): boolean {
  return stream.isTTY === true && env.TERM !== 'dumb'
}
