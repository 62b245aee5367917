import type { Duplex, Writable } from 'node:stream'
import { type Frame, FrameError, FrameReader, frameHead, MAX_PAYLOAD } from './frames.ts'

/** What of one connection may be under way in one direction, counted as `costOf` does. */
const WINDOW = 256 * 1024

/** So that many small frames, which take more memory than their bytes, are bounded as well. */
const FRAME_COST = 256

/** What an end opens at once: more than the servers at the other end keep, all together. */
const MAX_OPENED = 256

/** An end counts a connection out before the other has closed it. Together with the window, this bounds the memory. */
const MAX_ACCEPTED = 2 * MAX_OPENED

/** What waits to be opened. */
const MAX_UNOPENED = 1024

/** What the other end may leave unread. Data stops far below; the rest is a few bytes now and then. */
const MAX_UNREAD_BYTES = 1024 * 1024

export interface MultiplexerOptions {
  /** To the other end. Never destroyed here. */
  output: Writable
  /** A new connection to the place of that number. May throw FrameError for one that there is not. */
  onOpen(place: number): Duplex
  /** The other end can be used. */
  onReady?(): void
  /** The other end is not what it should be. All connections are gone by then. */
  onBroken(error: FrameError): void
}

/**
 * Many connections over one stream of bytes, in both directions, each at the speed of its reader: who
 * is slow holds nobody else up. Half-closed connections stay so, and one that breaks here breaks there.
 * The other end is not trusted: what it says is bounded in number, size and memory.
 */
export class Multiplexer {
  readonly #options: MultiplexerOptions
  readonly #frames = new FrameReader()
  readonly #connections = new Map<number, Connection>()
  /** Those that have something to say, in the order of their turns. */
  readonly #waiting = new Set<Connection>()
  /** Those that will be opened when others are gone, in the order in which they came. */
  readonly #unopened: { place: number; socket: Duplex }[] = []
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

  /** Says that connections may come now. */
  ready(): void {
    this.#send('ready', 0)
  }

  /**
   * Has the other end connect `socket`, which is paused and may be half open, with a place: at once, or when there
   * is room for it. The servers there see to it that there is.
   */
  open(place: number, socket: Duplex): void {
    socket.on('error', () => {}) // Told by its close.
    if (this.#isOver || this.#unopened.length >= MAX_UNOPENED) return void socket.destroy()
    this.#unopened.push({ place, socket })
    this.#openNext()
  }

  /** Takes what has come from the other end. */
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
      this.#send('open', this.#lastId, next.place)
      this.#join(this.#lastId, next.socket)
    }
  }

  /** Whoever is at this end need not close what the other end has given up, and would have the room for ever. */
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

  /** Undefined for one that has gone while the frame was on its way. */
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
      this.#say(connection)
    }
  }

  #accept({ connection: id, value: place }: Frame): void {
    // Each number once, so that what comes late for one is never taken for another.
    if (id <= this.#lastId) throw new FrameError(`a second connection ${id}`)
    this.#lastId = id
    if (this.#connections.size >= MAX_ACCEPTED) this.#send('reset', id)
    else this.#join(id, this.#options.onOpen(place))
  }

  #deliver(connection: Connection, payload: Buffer): void {
    const cost = costOf(payload)
    if (connection.hasReceivedEnd) throw new FrameError('data after its end')
    if (connection.mayReceive < cost) throw new FrameError('more data than it had credit for')
    connection.mayReceive -= cost
    connection.socket.write(payload, (error) => {
      // Not before: what waits for a slow reader counts.
      if (!error) this.#giveCredit(connection, cost)
    })
  }

  #giveCredit(connection: Connection, amount: number): void {
    connection.unsaidCredit += amount
    // In large portions; there is enough left to go on with.
    if (connection.unsaidCredit < WINDOW / 4 || !this.#connections.has(connection.id)) return
    connection.mayReceive += connection.unsaidCredit
    this.#send('credit', connection.id, connection.unsaidCredit)
    connection.unsaidCredit = 0
  }

  #join(id: number, socket: Duplex): void {
    const connection = new Connection(id, socket)
    this.#connections.set(id, connection)
    socket.on('data', (chunk: Buffer) => {
      connection.unsaid = chunk
      this.#say(connection)
    })
    socket.once('end', () => {
      connection.hasEnded = true
      this.#say(connection)
    })
    socket.on('error', () => {}) // Told by its close.
    socket.once('close', () => {
      this.#connections.delete(id)
      this.#waiting.delete(connection)
      const isDone = connection.hasSaidEnd && connection.hasReceivedEnd
      if (!isDone && !connection.isReset) this.#send('reset', id)
      this.#openNext()
    })
    socket.resume()
  }

  /** Says what the connection has to say, as far as it has credit and the way is free. */
  #say(connection: Connection): void {
    const { socket, id } = connection
    while (connection.unsaid && connection.maySend > FRAME_COST) {
      if (this.#options.output.writableNeedDrain) {
        this.#waiting.add(connection)
        break
      }
      const size = Math.min(MAX_PAYLOAD, connection.maySend - FRAME_COST)
      const payload = connection.unsaid.subarray(0, size)
      connection.unsaid = connection.unsaid.subarray(size)
      if (connection.unsaid.length === 0) connection.unsaid = undefined
      connection.maySend -= costOf(payload)
      this.#send('data', id, payload.length, payload)
    }
    if (connection.unsaid) {
      socket.pause()
    } else if (connection.hasEnded && !connection.hasSaidEnd) {
      connection.hasSaidEnd = true
      this.#send('end', id)
    } else if (socket.isPaused()) {
      socket.resume()
    }
  }

  /** One frame each, as long as the way is free; who has more goes to the end of the line. */
  #takeTurns(): void {
    for (const connection of [...this.#waiting]) {
      if (this.#options.output.writableNeedDrain) return
      this.#waiting.delete(connection)
      this.#say(connection)
    }
  }

  #send(kind: Frame['kind'], id: number, value = 0, payload?: Buffer): void {
    if (this.#isOver) return
    const { output } = this.#options
    // In one piece, and at once.
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
  /** What was read, and has no credit yet to be passed on. Until it has, nothing more is read. */
  unsaid: Buffer | undefined
  unsaidCredit = 0
  hasEnded = false
  hasSaidEnd = false
  hasReceivedEnd = false
  isReset = false

  constructor(id: number, socket: Duplex) {
    this.id = id
    this.socket = socket
  }
}

const costOf = (payload: Buffer) => payload.length + FRAME_COST
