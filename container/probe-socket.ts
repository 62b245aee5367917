/**
 * Connects with the host's socket once, and says nothing: the host sees by it that the way is open, and waits for that.
 * Where it is not open the connection fails or hangs, and the host finds another way.
 */
import { connect } from 'node:net'

const [, , role, socketPath] = process.argv
if (role === 'agent' && socketPath) {
  const socket = connect(socketPath, () => socket.destroy())
  socket.on('error', () => {})
}
