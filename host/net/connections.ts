import type { Server, Socket } from 'node:net'

export interface ConnectionBounds {
  /** Maximum of concurrent connections. */
  connections: number
  /** How long an unused connection may stay open, in ms. */
  unusedMs: number
}

/**
 * Bounds the connections of a server that untrusted programs share. Only connections in use stay open,
 * independent of their traffic; at the limit the oldest unused one is closed, so that a new one is always
 * accepted.
 */
export class Connections {
  /** In the order of their age, each with its `isInUse`. */
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
    const timer = setInterval(() => {
      if (!this.#open.get(socket)?.()) socket.destroy()
    }, unusedMs)
    socket.once('close', () => {
      clearInterval(timer)
      this.#open.delete(socket)
    })
    // All others are in use.
    if (this.#open.size > connections) socket.destroy()
  }

  #makeRoom(): void {
    for (const [socket, isInUse] of this.#open) {
      if (isInUse()) continue
      // The `close` event is later, but its slot is free now.
      this.#open.delete(socket)
      socket.destroy()
      return
    }
  }
}
