/**
 * Connects to the host's socket once and sends nothing: the host waits for this connection to learn that the mounted
 * socket works. Otherwise the connection fails or hangs, and the host starts a relay.
 */
import { connect } from 'node:net'

const [, , role, socketPath] = process.argv
if (role === 'agent' && socketPath) {
  const socket = connect(socketPath, () => socket.destroy())
  socket.on('error', () => {})
}
