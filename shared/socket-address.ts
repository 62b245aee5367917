/**
 * The address of a socket for node:net. `@name` is an abstract socket without a file (unix(7)), written as Linux
 * prints it: the process that binds the name holds it until its exit, and rights over folders do not change that.
 * Any other address is a path.
 */
export function socketAddress(socket: string): string {
  return socket.replace(/^@/, '\0')
}
