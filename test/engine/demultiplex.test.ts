import { PassThrough, Writable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { demultiplex, StreamFormatError } from '../../host/engine/demultiplex.ts'

type Frame = [stream: number, payload: Uint8Array]

const aFrame: fc.Arbitrary<Frame> = fc.tuple(
  fc.constantFrom(1, 2),
  fc.uint8Array({ maxLength: 40 }),
)

test('any frames give the same two outputs, wherever the bytes are cut', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(aFrame),
      fc.array(fc.nat({ max: 500 })),
      async (frames, positions) => {
        const bytes = Buffer.concat(frames.map(wire))

        const outputs = await outputsOf(cut(bytes, positions))

        expect(outputs).toEqual({ stdout: payloads(frames, 1), stderr: payloads(frames, 2) })
      },
    ),
  )
})

test('bytes that come one by one give the same outputs', async () => {
  const frames: Frame[] = [
    [1, Buffer.from('out\n')],
    [2, Buffer.from('err\n')],
    [1, Buffer.from('more\n')],
  ]
  const bytes = Buffer.concat(frames.map(wire))

  const outputs = await outputsOf(cut(bytes, [...bytes.keys()]))

  expect(outputs).toEqual({ stdout: Buffer.from('out\nmore\n'), stderr: Buffer.from('err\n') })
})

test.each([0, 1, 2, 3, 4, 5, 6, 7, 8])('a header may be cut after its byte %i', async (at) => {
  const first = wire([2, Buffer.from('first')])
  const bytes = Buffer.concat([first, wire([1, Buffer.from('second')])])

  const outputs = await outputsOf(cut(bytes, [at, first.length + at]))

  expect(outputs).toEqual({ stdout: Buffer.from('second'), stderr: Buffer.from('first') })
})

test('an empty frame is none', async () => {
  const empty: Frame = [1, Buffer.alloc(0)]
  const bytes = Buffer.concat([empty, empty, [2, Buffer.from('a')] as Frame, empty].map(wire))

  const outputs = await outputsOf([bytes])

  expect(outputs).toEqual({ stdout: Buffer.alloc(0), stderr: Buffer.from('a') })
})

test.each([
  ['a header', Buffer.from([1, 0, 0, 0, 0])],
  ['a payload', wire([1, Buffer.from('abc')]).subarray(0, -1)],
])('a stream that breaks off inside %s ends there', async (_, last) => {
  const outputs = await outputsOf([wire([1, Buffer.from('whole ')]), last])

  expect(String(outputs.stdout)).toMatch(/^whole (ab)?$/)
})

test('no memory is set aside for what a header claims', async () => {
  const before = process.memoryUsage().arrayBuffers
  let most = 0
  const claim = Buffer.from([1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])
  async function* source() {
    yield claim
    for (let i = 0; i < 3; i++) {
      yield Buffer.from('abc')
      most = Math.max(most, process.memoryUsage().arrayBuffers - before)
    }
  }

  const { stdout } = await outputsOf(source())

  expect(String(stdout)).toBe('abcabcabc')
  expect(most).toBeLessThan(8 * 1024 * 1024)
})

test.each([0, 3, 255, 'H'.charCodeAt(0)])('a frame for stream %i is an error', async (stream) => {
  const bytes = Buffer.concat([wire([1, Buffer.from('good')]), wire([stream, Buffer.from('bad')])])
  const { stdout, stderr, sink } = collector()

  const outcome = demultiplex(chunks([bytes]), { stdout, stderr })

  await expect(outcome).rejects.toThrow(StreamFormatError)
  stdout.end()
  stderr.end()
  expect(String((await sink).stdout)).toBe('good')
})

test('a source that fails is an error, and what came before is handed on', async () => {
  const { stdout, stderr, sink } = collector()
  async function* source() {
    yield wire([1, Buffer.from('before')])
    throw new Error('ECONNRESET')
  }

  await expect(demultiplex(source(), { stdout, stderr })).rejects.toThrow('ECONNRESET')

  stdout.end()
  stderr.end()
  expect(String((await sink).stdout)).toBe('before')
})

test('nothing is read ahead of a slow reader', async () => {
  let taken = 0
  async function* source() {
    for (; taken < 100; taken++) yield wire([1, Buffer.alloc(64 * 1024, 'a')])
  }
  let received = 0
  const releases: (() => void)[] = []
  const slow = new Writable({
    write(chunk, _encoding, done) {
      received += chunk.length
      releases.push(done)
    },
  })

  const done = demultiplex(source(), { stdout: slow, stderr: new PassThrough() })
  for (let turns = 0; turns < 20; turns++) await turn()
  const takenWhileStuck = taken
  const release = setInterval(() => releases.shift()?.(), 0)
  await done.finally(() => clearInterval(release))

  expect(takenWhileStuck).toBeLessThanOrEqual(1)
  expect(received).toBe(100 * 64 * 1024)
})

test('a reader that has left is not waited for', async () => {
  const stdout = new PassThrough({ highWaterMark: 1 })
  const stderr = new PassThrough()
  const errors = buffer(stderr)
  async function* source() {
    yield wire([1, Buffer.from('nobody reads this')])
    yield wire([1, Buffer.from('nor this')])
    yield wire([2, Buffer.from('but this')])
  }

  const done = demultiplex(source(), { stdout, stderr })
  await turn()
  stdout.destroy()
  await done

  stderr.end()
  expect(String(await errors)).toBe('but this')
})

// ---- helpers ----

function wire([stream, payload]: Frame): Buffer {
  const header = Buffer.alloc(8)
  header[0] = stream
  header.writeUInt32BE(payload.length, 4)
  return Buffer.concat([header, payload])
}

function payloads(frames: readonly Frame[], stream: number): Buffer {
  return Buffer.concat(frames.filter(([of]) => of === stream).map(([, payload]) => payload))
}

/** `bytes` in pieces that end at `positions`; some may be empty. */
function cut(bytes: Buffer, positions: readonly number[]): Buffer[] {
  const ends = [...positions, bytes.length]
    .map((position) => Math.min(position, bytes.length))
    .sort((a, b) => a - b)
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
}

async function* chunks(list: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* list
}

function collector() {
  const stdout = new PassThrough()
  const stderr = new PassThrough()
  const sink = Promise.all([buffer(stdout), buffer(stderr)]).then(([out, err]) => ({
    stdout: out,
    stderr: err,
  }))
  return { stdout, stderr, sink }
}

async function outputsOf(source: readonly Buffer[] | AsyncIterable<Buffer>) {
  const { stdout, stderr, sink } = collector()
  await demultiplex(Symbol.asyncIterator in source ? source : chunks(source), { stdout, stderr })
  stdout.end()
  stderr.end()
  return sink
}
