/**
 * What node:net takes for a socket. `@name` is one without a file (an abstract one, unix(7)), written as Linux
 * prints it: who has the name has it until he leaves, and no rights to any folder change that. Anything else
 * is a path.
 */
export function socketAddress(socket: string): string {
  return socket.replace(/^@/, '\0')
}
