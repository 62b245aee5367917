import { connect } from 'node:net'

/**
 * Connects once, and says nothing: whoever listens sees that the way from here to there is open. Where it is
 * not, the connection fails or hangs, and nobody has to be told.
 */
export function knock(socketPath: string): void {
  const socket = connect(socketPath, () => socket.destroy())
  socket.on('error', () => {})
}
