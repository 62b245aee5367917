import type { Duplex, Writable } from 'node:stream'
import { type Frame, FrameError, FrameReader, frameHead, MAX_PAYLOAD } from './frames.ts'

/** Data of one connection in flight in one direction, counted by `costOf`. */
const WINDOW = 256 * 1024

/** Bounds many small frames as well, which take more memory than their bytes. */
const FRAME_COST = 256

/** Connections that an end opens at once: more than all servers at the other end accept together. */
const MAX_OPENED = 256

/** An end stops counting a connection before the other has closed it. With the window, this bounds the memory. */
const MAX_ACCEPTED = 2 * MAX_OPENED

/** Connections that wait to be opened. */
const MAX_UNOPENED = 1024

/** Output that the other end may leave unread. Data stops far below; the other frames are a few bytes each. */
const MAX_UNREAD_BYTES = 1024 * 1024

export interface MultiplexerOptions {
  /** The stream to the other end. Never destroyed here. */
  output: Writable
  /** A new connection to the socket with that index. May throw FrameError for an unknown index. */
  onOpen(index: number): Duplex
  /** The other end can be used. */
  onReady?(): void
  /** The other end broke the protocol. All connections are closed by then. */
  onBroken(error: FrameError): void
}

/**
 * Many connections over one byte stream, in both directions, each at the speed of its reader: a slow
 * reader does not block other connections. A half-closed connection stays half-closed, and a broken one
 * breaks at both ends. The other end is not trusted: its frames are bounded in number, size and memory.
 */
export class Multiplexer {
  readonly #options: MultiplexerOptions
  readonly #frames = new FrameReader()
  readonly #connections = new Map<number, Connection>()
  /** Connections with unsent data, in the order of their turns. */
  readonly #waiting = new Set<Connection>()
  /** Connections to be opened when others are closed, oldest first. */
  readonly #unopened: { index: number; socket: Duplex }[] = []
  #lastId = 0
  #isOver = false

  constructor(options: MultiplexerOptions) {
    this.#options = options
    options.output.on('drain', () => this.#takeTurns())
  }

  /** How many connections wait to be opened. */
  get unopened(): number {
    return this.#unopened.length
  }

  /** Tells the other end that it can open connections. */
  ready(): void {
    this.#send('ready', 0)
  }

  /**
   * Connects `socket`, which is paused and may be half open, to the socket with that index at the other end: at once,
   * or when another connection is closed. The servers there limit their connections, so that a slot becomes free.
   */
  open(index: number, socket: Duplex): void {
    socket.on('error', () => {}) // The close event follows.
    if (this.#isOver || this.#unopened.length >= MAX_UNOPENED) return void socket.destroy()
    this.#unopened.push({ index, socket })
    this.#openNext()
  }

  /** Handles bytes from the other end. */
  receive(chunk: Buffer): void {
    if (this.#isOver) return
    try {
      this.#frames.read(chunk, (frame) => {
        if (!this.#isOver) this.#take(frame)
      })
    } catch (error) {
      if (!(error instanceof FrameError)) throw error
      this.#break(error)
    }
  }

  /** Ends all connections. */
  close(): void {
    this.#isOver = true
    for (const { socket } of [...this.#connections.values(), ...this.#unopened]) socket.destroy()
  }

  #openNext(): void {
    if (this.#unopened.length > 0 && this.#connections.size >= MAX_OPENED) this.#makeRoom()
    while (this.#connections.size < MAX_OPENED) {
      const next = this.#unopened.shift()
      if (!next || this.#isOver) return
      this.#lastId++
      this.#send('open', this.#lastId, next.index)
      this.#join(this.#lastId, next.socket)
    }
  }

  /** A client here may never close a connection that the other end has ended, so the oldest of those is closed. */
  #makeRoom(): void {
    for (const { socket, hasReceivedEnd } of this.#connections.values()) {
      if (hasReceivedEnd && !socket.destroyed) return void socket.destroy()
    }
  }

  #break(error: FrameError): void {
    if (this.#isOver) return
    this.close()
    this.#options.onBroken(error)
  }

  #take(frame: Frame): void {
    switch (frame.kind) {
      case 'ready':
        this.#options.onReady?.()
        break
      case 'open':
        this.#accept(frame)
        break
      default:
        this.#takeFor(this.#known(frame), frame)
    }
  }

  /** Undefined for a connection that was closed while the frame was in flight. */
  #known({ connection: id }: Frame): Connection | undefined {
    if (id > this.#lastId) throw new FrameError(`a frame for the connection ${id}, never opened`)
    return this.#connections.get(id)
  }

  #takeFor(connection: Connection | undefined, { kind, value, payload }: Frame): void {
    if (!connection) return
    if (kind === 'data') {
      this.#deliver(connection, payload)
    } else if (kind === 'end') {
      connection.hasReceivedEnd = true
      connection.socket.end()
    } else if (kind === 'reset') {
      connection.isReset = true
      connection.socket.destroy()
    } else {
      connection.maySend += value
      if (connection.maySend > WINDOW) throw new FrameError('credit for what was not sent')
      this.#sendUnsent(connection)
    }
  }

  #accept({ connection: id, value: index }: Frame): void {
    // Each id is used once, so that a late frame never reaches another connection.
    if (id <= this.#lastId) throw new FrameError(`a second connection ${id}`)
    this.#lastId = id
    if (this.#connections.size >= MAX_ACCEPTED) this.#send('reset', id)
    else this.#join(id, this.#options.onOpen(index))
  }

  #deliver(connection: Connection, payload: Buffer): void {
    const cost = costOf(payload)
    if (connection.hasReceivedEnd) throw new FrameError('data after its end')
    if (connection.mayReceive < cost) throw new FrameError('more data than it had credit for')
    connection.mayReceive -= cost
    connection.socket.write(payload, (error) => {
      // Not before: data that waits for a slow reader counts.
      if (!error) this.#giveCredit(connection, cost)
    })
  }

  #giveCredit(connection: Connection, amount: number): void {
    connection.pendingCredit += amount
    // In large portions; the rest of the window suffices meanwhile.
    if (connection.pendingCredit < WINDOW / 4 || !this.#connections.has(connection.id)) return
    connection.mayReceive += connection.pendingCredit
    this.#send('credit', connection.id, connection.pendingCredit)
    connection.pendingCredit = 0
  }

  #join(id: number, socket: Duplex): void {
    const connection = new Connection(id, socket)
    this.#connections.set(id, connection)
    socket.on('data', (chunk: Buffer) => {
      connection.unsent = chunk
      this.#sendUnsent(connection)
    })
    socket.once('end', () => {
      connection.hasEnded = true
      this.#sendUnsent(connection)
    })
    socket.on('error', () => {}) // The close event follows.
    socket.once('close', () => {
      this.#connections.delete(id)
      this.#waiting.delete(connection)
      const isDone = connection.hasSentEnd && connection.hasReceivedEnd
      if (!isDone && !connection.isReset) this.#send('reset', id)
      this.#openNext()
    })
    socket.resume()
  }

  /** Sends the unsent data of the connection, as far as it has credit and the output takes it. */
  #sendUnsent(connection: Connection): void {
    const { socket, id } = connection
    while (connection.unsent && connection.maySend > FRAME_COST) {
      if (this.#options.output.writableNeedDrain) {
        this.#waiting.add(connection)
        break
      }
      const size = Math.min(MAX_PAYLOAD, connection.maySend - FRAME_COST)
      const payload = connection.unsent.subarray(0, size)
      connection.unsent = connection.unsent.subarray(size)
      if (connection.unsent.length === 0) connection.unsent = undefined
      connection.maySend -= costOf(payload)
      this.#send('data', id, payload.length, payload)
    }
    if (connection.unsent) {
      socket.pause()
    } else if (connection.hasEnded && !connection.hasSentEnd) {
      connection.hasSentEnd = true
      this.#send('end', id)
    } else if (socket.isPaused()) {
      socket.resume()
    }
  }

  /** One frame each, as long as the output takes it; a connection with more data goes to the end of the queue. */
  #takeTurns(): void {
    for (const connection of [...this.#waiting]) {
      if (this.#options.output.writableNeedDrain) return
      this.#waiting.delete(connection)
      this.#sendUnsent(connection)
    }
  }

  #send(kind: Frame['kind'], id: number, value = 0, payload?: Buffer): void {
    if (this.#isOver) return
    const { output } = this.#options
    // Head and payload in one write.
    output.cork()
    output.write(frameHead(kind, id, value))
    if (payload) output.write(payload)
    output.uncork()
    if (output.writableLength > MAX_UNREAD_BYTES) {
      this.#break(new FrameError('more than it reads the answers to'))
    }
  }
}

class Connection {
  readonly id: number
  readonly socket: Duplex
  maySend = WINDOW
  mayReceive = WINDOW
  /** Data that was read and has no credit yet. The socket is paused until it is sent. */
  unsent: Buffer | undefined
  pendingCredit = 0
  hasEnded = false
  hasSentEnd = false
  hasReceivedEnd = false
  isReset = false

  constructor(id: number, socket: Duplex) {
    this.id = id
    this.socket = socket
  }
}

const costOf = (payload: Buffer) => payload.length + FRAME_COST
