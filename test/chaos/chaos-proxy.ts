import { once } from 'node:events'
import http from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * What goes wrong with an answer at byte `at` of what goes over the wire: its head, the framing of its
 * chunks and its body.
 * - `cut`: the connection is closed there
 * - `reset`: the same with a TCP reset, which may overtake bytes already sent
 * - `end`: the answer ends there as if it were whole, and the connection stays
 * - `delay`: nothing comes for `ms`
 * - `trickle`: the next 200 bytes come one by one
 * - `duplicate`: the chunk that the byte is in comes twice; a chunk is an event
 * - `corrupt`: bit `bit` of the byte is the other
 */
export type Fault =
  | { kind: 'cut' | 'reset' | 'end' | 'trickle' | 'duplicate'; at: number }
  | { kind: 'delay'; at: number; ms: number }
  | { kind: 'corrupt'; at: number; bit: number }

export interface ChaosProxy {
  /** To be asked instead of the target. */
  readonly url: string
  close(): Promise<void>
}

/** `choose` sees the body of each request and the length of its answer, and says what goes wrong. */
export async function startChaosProxy(
  target: string,
  choose: (body: string, length: number) => Fault | undefined,
): Promise<ChaosProxy> {
  const agent = new http.Agent({ keepAlive: true })
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('error', () => {}) // The client has left; what it thinks of it is seen on its side.
    socket.on('close', () => sockets.delete(socket))
    void serve(socket, async (body) => {
      const pieces = await answerOf(target, agent, body)
      const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
      await play(socket, pieces, choose(body, length))
    }).catch(() => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}${new URL(target).pathname}`,
    async close() {
      for (const socket of sockets) socket.destroy()
      agent.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Reads one request after the other, as they come on a connection that is kept. */
async function serve(socket: Socket, answer: (body: string) => Promise<void>): Promise<void> {
  let unread: Buffer = Buffer.alloc(0)
  for await (const chunk of socket) {
    unread = Buffer.concat([unread, chunk])
    const end = unread.indexOf('\r\n\r\n')
    if (end < 0) continue
    const head = unread.toString('latin1', 0, end)
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1])
    if (Number.isNaN(length)) throw new Error('a request without a content-length')
    if (unread.length < end + 4 + length) continue
    const body = unread.toString('utf8', end + 4, end + 4 + length)
    unread = unread.subarray(end + 4 + length)
    await answer(body)
  }
}

/** The answer as it goes over the wire: its head, each of its chunks, and its end. */
async function answerOf(target: string, agent: http.Agent, body: string): Promise<Buffer[]> {
  const request = http.request(target, { method: 'POST', agent })
  request.end(body)
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  let text = ''
  for await (const chunk of response) text += chunk
  const type = response.headers['content-type']
  const head = `HTTP/1.1 ${response.statusCode} -\r\ncontent-type: ${type}\r\ntransfer-encoding: chunked\r\n\r\n`
  const events = text.split(/(?<=\n\n)/)
  return [Buffer.from(head), ...events.map((event) => framed(Buffer.from(event))), END]
}

const framed = (data: Buffer) =>
  Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, Buffer.from('\r\n')])
const END = Buffer.from('0\r\n\r\n')

const TRICKLED = 200

async function play(
  socket: Socket,
  pieces: readonly Buffer[],
  fault: Fault | undefined,
): Promise<void> {
  const whole = Buffer.concat(pieces)
  if (!fault || fault.at >= whole.length) {
    // Also at the very end: an answer that is whole may be followed by the end of the connection.
    await write(socket, whole)
    if (fault?.kind === 'cut') socket.end()
    if (fault?.kind === 'reset') socket.resetAndDestroy()
    return
  }
  const { at } = fault
  switch (fault.kind) {
    case 'cut':
      await write(socket, whole.subarray(0, at))
      socket.end()
      break
    case 'reset':
      await write(socket, whole.subarray(0, at))
      socket.resetAndDestroy()
      break
    case 'end':
      await write(socket, Buffer.concat(endedAt(pieces, at)))
      break
    case 'delay':
      await write(socket, whole.subarray(0, at))
      await sleep(fault.ms)
      await write(socket, whole.subarray(at))
      break
    case 'trickle':
      await write(socket, whole.subarray(0, at))
      for (let next = at; next < at + TRICKLED && next < whole.length; next++) {
        await write(socket, whole.subarray(next, next + 1))
        // Without a pause the reader's stream joins what has come in the meantime.
        await sleep(1)
      }
      await write(socket, whole.subarray(at + TRICKLED))
      break
    case 'duplicate':
      await write(socket, Buffer.concat(twiceAt(pieces, at)))
      break
    case 'corrupt':
      whole[at] = (whole[at] ?? 0) ^ (1 << fault.bit)
      await write(socket, whole)
      break
  }
}

/** The head comes whole, and the piece that the byte is in up to it, in a frame of its own. */
function endedAt(pieces: readonly Buffer[], at: number): Buffer[] {
  const [head = Buffer.alloc(0), ...chunks] = pieces
  const kept: Buffer[] = [head]
  let start = head.length
  for (const chunk of chunks) {
    const data = chunk.subarray(chunk.indexOf('\r\n') + 2, -2)
    const part = data.subarray(0, Math.max(0, at - start))
    if (part.length > 0) kept.push(framed(part))
    start += chunk.length
  }
  return [...kept, END]
}

/** Neither the head nor the end is a chunk. */
function twiceAt(pieces: readonly Buffer[], at: number): Buffer[] {
  let start = 0
  return pieces.flatMap((piece, index) => {
    const isIn = at >= start && at < start + piece.length
    start += piece.length
    const isChunk = index > 0 && index < pieces.length - 1
    return isIn && isChunk ? [piece, piece] : [piece]
  })
}

/** Resolves when the bytes are with the kernel, so that closing right after does not lose them. */
function write(socket: Socket, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    if (bytes.length === 0) resolve()
    else socket.write(bytes, () => resolve())
  })
}
