import type { Server, Socket } from 'node:net'

export interface ConnectionBounds {
  /** At once. */
  connections: number
  /** How long a connection may stay that is not in use, in ms. */
  unusedMs: number
}

/**
 * Bounds the connections of a server that programs share which are not trusted. Only one that is in use stays,
 * whatever is said on it, or not; and where there are too many, the oldest that is not in use makes room, so that
 * a new one is always taken.
 */
export class Connections {
  /** In the order of their age, each with what tells whether it is in use. */
  readonly #open = new Map<Socket, () => boolean>()
  readonly #bounds: ConnectionBounds

  constructor(server: Server, bounds: ConnectionBounds) {
    this.#bounds = bounds
    server.on('connection', (socket: Socket) => this.#add(socket))
  }

  /** From now on `socket` is in use as long as `isInUse` says so. */
  use(socket: Socket, isInUse: () => boolean): void {
    if (this.#open.has(socket)) this.#open.set(socket, isInUse)
  }

  destroyAll(): void {
    for (const socket of this.#open.keys()) socket.destroy()
  }

  #add(socket: Socket): void {
    const { connections, unusedMs } = this.#bounds
    if (this.#open.size >= connections) this.#makeRoom()
    this.#open.set(socket, () => false)
    const look = setInterval(() => {
      if (!this.#open.get(socket)?.()) socket.destroy()
    }, unusedMs)
    socket.once('close', () => {
      clearInterval(look)
      this.#open.delete(socket)
    })
    // All the others are in use.
    if (this.#open.size > connections) socket.destroy()
  }

  #makeRoom(): void {
    for (const [socket, isInUse] of this.#open) {
      if (isInUse()) continue
      // Before its close is told, which is later: it has made its room.
      this.#open.delete(socket)
      socket.destroy()
      return
    }
  }
}
