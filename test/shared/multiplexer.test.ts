import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { FrameError, FrameReader, frameHead } from '../../shared/frames.ts'
import { Multiplexer } from '../../shared/multiplexer.ts'

const WINDOW = 256 * 1024

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const undo of cleanups.splice(0).reverse()) await undo()
})

function aFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'codexbox-mux-'))
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

async function listenAt(path: string, serve: (socket: net.Socket) => void): Promise<void> {
  const open = new Set<net.Socket>()
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket)
    socket.on('error', () => {})
    serve(socket)
  })
  await once(server.listen(path), 'listening')
  cleanups.push(() => {
    server.close()
    for (const socket of open) socket.destroy()
  })
}

/** One direction of the stream between the two ends; its chunks are cut again to `cuts`, in turns. */
function wire(deliver: (chunk: Buffer) => void, cuts: readonly number[] = [Infinity]) {
  const bytes = new PassThrough()
  let turn = 0
  bytes.on('data', (chunk: Buffer) => {
    for (let rest = chunk; rest.length > 0; ) {
      const size = Math.max(1, cuts[turn++ % cuts.length] ?? Infinity)
      deliver(rest.subarray(0, size))
      rest = rest.subarray(size)
    }
  })
  return bytes
}

/** Both ends with real sockets: who connects at `front` gets to where `serve` listens. */
async function openPair(
  serve: (socket: net.Socket) => void,
  { cuts }: { cuts?: readonly number[] } = {},
) {
  const folder = aFolder()
  const back = join(folder, 'back.sock')
  await listenAt(back, serve)
  const broken: string[] = []
  const seen = { toHost: 0, toContainer: 0 }
  const common = { onBroken: (error: FrameError) => broken.push(error.message) }
  const toHost = wire((chunk) => {
    seen.toHost += chunk.length
    host.receive(chunk)
  }, cuts)
  const toContainer = wire((chunk) => {
    seen.toContainer += chunk.length
    container.receive(chunk)
  }, cuts)
  const container = new Multiplexer({
    ...common,
    output: toHost,
    onOpen() {
      throw new FrameError('an opening')
    },
  })
  const host: Multiplexer = new Multiplexer({
    ...common,
    output: toContainer,
    onOpen(place) {
      const path = [back, join(folder, 'nothing-there.sock')][place]
      if (!path) throw new FrameError(`place ${place}`)
      return net.connect({ path, allowHalfOpen: true })
    },
  })
  const fronts = [join(folder, 'front.sock'), join(folder, 'front-1.sock')]
  for (const [place, front] of fronts.entries()) {
    await listenAt(front, (client) => container.open(place, client))
  }
  const connect = (place = 0) => {
    const client = net.connect({ path: fronts[place] ?? '', allowHalfOpen: true })
    client.on('error', () => {})
    cleanups.push(() => client.destroy())
    return client
  }
  return { connect, broken, seen, toHost, toContainer }
}

async function allOf(socket: net.Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  // Not by iterating, which would also end the other direction.
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(socket, 'end')
  return Buffer.concat(chunks)
}

const echo = (socket: net.Socket) => void socket.pipe(socket)

describe('connections over one stream', () => {
  test('each get what is theirs, however they mix and wherever the stream is cut', async () => {
    const writes = fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 8 })
    const cuts = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 5 })
    await fc.assert(
      fc.asyncProperty(
        fc.array(writes, { minLength: 1, maxLength: 5 }),
        cuts,
        async (each, sizes) => {
          const { connect, broken } = await openPair(echo, { cuts: sizes })

          const answers = await Promise.all(
            each.map(async (chunks) => {
              const client = connect()
              const answer = allOf(client)
              for (const chunk of chunks) {
                client.write(chunk)
                await new Promise((resolve) => setImmediate(resolve))
              }
              client.end()
              return answer
            }),
          )

          expect(answers).toEqual(each.map((chunks) => Buffer.concat(chunks)))
          expect(broken).toEqual([])
          for (const undo of cleanups.splice(0).reverse()) await undo()
        },
      ),
      { numRuns: 30 },
    )
  }, 60_000)

  test('carry far more than one window, in both directions at once', async () => {
    const { connect, broken } = await openPair(echo)
    const sent = randomBytes(20 * WINDOW)

    const client = connect()
    client.end(sent)

    expect((await allOf(client)).equals(sent)).toBe(true)
    expect(broken).toEqual([])
  })

  test('stay half open: an answer may follow the end of the question', async () => {
    const { connect } = await openPair(async (socket) => {
      const question = await allOf(socket)
      await new Promise((resolve) => setTimeout(resolve, 20))
      socket.end(`you said ${question}`)
    })
    const client = connect()

    client.end('hello')

    expect(String(await allOf(client))).toBe('you said hello')
  })

  test('end on the other side, too, when one side is gone', async () => {
    const served: net.Socket[] = []
    const { connect } = await openPair((socket) => {
      served.push(socket)
      // Somebody who talks finds out that nobody is there any more.
      const talk = setInterval(() => socket.write('at your service'), 5)
      socket.once('close', () => clearInterval(talk))
    })
    const client = connect()
    await once(client, 'data')
    // It closes with an error, which `once` would throw.
    const closed = new Promise((resolve) => served[0]?.once('close', resolve))

    client.destroy()

    await closed
  })

  test('to where nobody listens are closed, and nothing else is', async () => {
    const { connect, broken } = await openPair(echo)
    const other = connect()

    expect(await allOf(connect(1))).toEqual(Buffer.alloc(0))

    other.end('still there')
    expect(String(await allOf(other))).toBe('still there')
    expect(broken).toEqual([])
  })

  test('do not wait for one whose reader is slow, which takes no memory beyond its window', async () => {
    const stuck: net.Socket[] = []
    const { connect, seen } = await openPair((socket) => {
      socket.once('data', (first: Buffer) => {
        if (first[0] !== 0) return void socket.end(first)
        socket.pause()
        stuck.push(socket)
      })
    })
    const sent = Buffer.alloc(64 * WINDOW)
    const slow = connect()
    slow.end(sent)
    while (stuck.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    // Until nothing moves any more.
    for (let before = -1; before < seen.toHost; ) {
      before = seen.toHost
      await new Promise((resolve) => setTimeout(resolve, 100))
    }

    // The window, and what the kernel holds of the socket behind it.
    expect(seen.toHost).toBeLessThan(4 * WINDOW)
    for (let i = 1; i < 20; i++) {
      const quick = connect()
      quick.end(Buffer.from([i]))
      expect(await allOf(quick)).toEqual(Buffer.from([i]))
    }

    let received = 0
    stuck[0]?.on('data', (chunk: Buffer) => {
      received += chunk.length
    })
    stuck[0]?.resume()
    await once(stuck[0] as net.Socket, 'end')
    expect(received).toBeGreaterThan(sent.length - 128 * 1024)
  })

  test('take turns when the stream itself is slow, and are read no faster than it goes', async () => {
    const counts = [0, 0, 0]
    const { connect, toHost, seen } = await openPair((socket) => {
      socket.once('data', (first: Buffer) => {
        const who = first[0] ?? 0
        counts[who] = (counts[who] ?? 0) + first.length
        socket.on('data', (chunk: Buffer) => {
          counts[who] = (counts[who] ?? 0) + chunk.length
        })
      })
    })
    toHost.pause()
    const clients = counts.map((_, who) => {
      const client = connect()
      client.write(Buffer.alloc(8 * WINDOW, who))
      return client
    })
    await new Promise((resolve) => setTimeout(resolve, 200))

    expect(toHost.writableLength + toHost.readableLength).toBeLessThan(WINDOW)
    expect(seen.toHost).toBe(0)
    // As slow as a reader that takes a little at a time.
    while (counts.reduce((sum, count) => sum + count, 0) < 3 * WINDOW) {
      toHost.resume()
      await new Promise((resolve) => setImmediate(resolve))
      toHost.pause()
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(Math.min(...counts)).toBeGreaterThan(WINDOW / 4)
    expect(clients.every(({ destroyed }) => !destroyed)).toBe(true)
  })

  test('are no more than 256 at once; the next waits for its turn', async () => {
    const { connect, broken } = await openPair(echo)
    const clients = Array.from({ length: 256 }, () => connect())
    for (const client of clients) {
      client.write('x')
      await once(client, 'data')
    }
    const next = connect()
    let isAnswered = false
    const answer = allOf(next).finally(() => {
      isAnswered = true
    })
    next.end('next')
    // What was opened before it is served all the same.
    clients[1]?.write('y')
    await once(clients[1] as net.Socket, 'data')
    expect(isAnswered).toBe(false)

    clients[0]?.end('z')

    expect(String(await allOf(clients[0] as net.Socket))).toBe('z')
    expect(String(await answer)).toBe('next')
    expect(broken).toEqual([])
  })

  test('that wait are bounded in number as well; the next is closed', () => {
    const multiplexer = new Multiplexer({
      output: new PassThrough().resume(),
      onOpen: () => new PassThrough(),
      onBroken: () => {},
    })
    const sockets = Array.from({ length: 256 + 1024 + 1 }, () => new PassThrough().pause())

    for (const socket of sockets) multiplexer.open(0, socket)

    expect(sockets.map(({ destroyed }) => destroyed).indexOf(true)).toBe(256 + 1024)
    multiplexer.close()
    expect(sockets.every(({ destroyed }) => destroyed)).toBe(true)
  })

  test('make room when the other end has ended them, whether this end closes them or not', async () => {
    const { connect, broken } = await openPair((socket) => {
      socket.once('data', (first) => (String(first) === 'leave' ? socket.end() : socket.end(first)))
    })
    const left = Array.from({ length: 256 }, () => connect())
    for (const client of left) {
      client.write('leave')
      await once(client.resume(), 'end')
    }

    const next = connect()
    next.write('next')

    expect(String(await allOf(next))).toBe('next')
    expect(broken).toEqual([])
  })
})

describe('a container that says what it may not', () => {
  /** The host's end, with connections that swallow everything, or nothing when `isStuck`. */
  function aHost({ isStuck = false, output = new PassThrough().resume() as Writable } = {}) {
    const opened: PassThrough[] = []
    const broken: string[] = []
    const host = new Multiplexer({
      output,
      onOpen(place) {
        if (place > 1) throw new FrameError(`a connection to ${place}, which is no place`)
        const socket = new PassThrough()
        // It says nothing by itself, and what it is told stays in it.
        if (isStuck) socket._transform = () => {}
        opened.push(socket)
        return socket
      },
      onBroken: (error) => broken.push(error.message),
    })
    return { host, opened, broken }
  }
  const opening = (id: number, place = 0) => frameHead('open', id, place)
  const data = (id: number, bytes: Buffer) =>
    Buffer.concat([frameHead('data', id, bytes.length), bytes])

  test.each<[what: string, frames: Buffer[], message: RegExp]>([
    ['nonsense', [Buffer.from('this is no frame')], /unknown kind/],
    ['a connection to a third place', [opening(1, 2)], /no place/],
    ['a connection twice', [opening(7), opening(7)], /a second connection 7/],
    ['an earlier connection', [opening(7), opening(6)], /a second connection 6/],
    ['data for a connection that never was', [data(9, Buffer.from('x'))], /never opened/],
    ['the end of one', [frameHead('end', 1, 0)], /never opened/],
    ['credit for one', [frameHead('credit', 1, 1)], /never opened/],
    [
      'data after the end',
      [opening(1), frameHead('end', 1, 0), data(1, Buffer.from('x'))],
      /after its end/,
    ],
    ['credit for nothing', [opening(1), frameHead('credit', 1, 1)], /not sent/],
    ['endless credit', [opening(1), frameHead('credit', 1, 2 ** 32 - 1)], /not sent/],
    ['a payload without end', [opening(1), frameHead('data', 1, 2 ** 31)], /bytes of data/],
  ])('by %s is given up, and all its connections with it', (_, frames, message) => {
    const { host, opened, broken } = aHost({ isStuck: true })

    for (const frame of frames) host.receive(frame)
    host.receive(opening(100))

    expect(broken).toEqual([expect.stringMatching(message)])
    expect(opened.every(({ destroyed }) => destroyed)).toBe(true)
    expect(opened.length).toBeLessThan(2)
  })

  test('by more data than was asked for is given up, in large frames and in tiny ones', () => {
    for (const size of [65_536, 1]) {
      const { host, broken } = aHost({ isStuck: true })
      host.receive(opening(1))
      let frames = 0
      for (; broken.length === 0 && frames < 10_000; frames++)
        host.receive(data(1, Buffer.alloc(size)))

      expect(broken[0]).toMatch(/credit/)
      expect(frames * size).toBeLessThanOrEqual(WINDOW)
      expect(frames).toBeLessThan(1100)
    }
  })

  test('and never listens is given up before it fills the memory', () => {
    const output = new Writable({ highWaterMark: 16_384, write() {} })
    const { host, broken } = aHost({ output })

    let id = 1
    // Each is answered by a word.
    for (; broken.length === 0; id++) {
      host.receive(Buffer.concat([opening(id), frameHead('end', id, 0)]))
      if (id > 1_000_000) break
      host.receive(Buffer.alloc(0))
    }

    expect(broken).toEqual(['more than it reads the answers to'])
    expect(output.writableLength).toBeLessThan(1.1 * 1024 * 1024)
  })

  test('and opens more connections than it may gets no more of them', () => {
    const { host, opened, broken } = aHost({ isStuck: true })

    for (let id = 1; id <= 2000; id++) host.receive(opening(id))

    expect(opened.length).toBe(512)
    expect(broken).toEqual([])
  })

  test('what comes late for a connection that is gone is let pass', async () => {
    const { host, opened, broken } = aHost()
    host.receive(opening(1))
    opened[0]?.destroy()
    await once(opened[0] as PassThrough, 'close')

    for (const frame of [data(1, Buffer.from('x')), frameHead('end', 1, 0)]) host.receive(frame)
    host.receive(frameHead('credit', 1, 100))
    host.receive(frameHead('reset', 1, 0))

    expect(broken).toEqual([])
  })

  test('a connection that broke is told as such, and once', async () => {
    const output = new PassThrough()
    const { host, opened } = aHost({ output })
    host.receive(opening(1))

    opened[0]?.destroy(new Error('broken'))
    await once(opened[0] as PassThrough, 'close').catch(() => {})

    const said: string[] = []
    new FrameReader().read(output.read(), ({ kind }) => said.push(kind))
    expect(said).toEqual(['reset'])
  })
})
