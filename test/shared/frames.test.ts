import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Frame, FrameError, FrameReader, frameHead, MAX_PAYLOAD } from '../../shared/frames.ts'

const uint32 = fc.nat(2 ** 32 - 1)
const control = fc.record({
  kind: fc.constantFrom<Frame['kind']>('ready', 'open', 'end', 'reset', 'credit'),
  connection: uint32,
  value: uint32,
  payload: fc.constant(Buffer.alloc(0)),
})
const data = fc.tuple(uint32, fc.uint8Array({ minLength: 1, maxLength: 300 })).map(
  ([connection, bytes]): Frame => ({
    kind: 'data',
    connection,
    value: bytes.length,
    payload: Buffer.from(bytes),
  }),
)

const bytesOf = (frames: readonly Frame[]) =>
  Buffer.concat(
    frames.flatMap(({ kind, connection, value, payload }) => [
      frameHead(kind, connection, value),
      payload,
    ]),
  )

function read(...chunks: Buffer[]): Frame[] {
  const frames: Frame[] = []
  const reader = new FrameReader()
  for (const chunk of chunks) reader.read(chunk, (frame) => frames.push(frame))
  return frames
}

test('the frames of a stream are the same wherever it is cut', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(control, data), { maxLength: 6 }), (frames) => {
      const bytes = bytesOf(frames)
      for (let cut = 0; cut <= bytes.length; cut++) {
        expect(read(bytes.subarray(0, cut), bytes.subarray(cut))).toEqual(frames)
      }
    }),
    { numRuns: 30 },
  )
  fc.assert(
    fc.property(fc.array(fc.oneof(control, data)), fc.array(fc.nat()), (frames, places) => {
      const bytes = bytesOf(frames)
      const cuts = [0, ...places.map((place) => place % (bytes.length + 1)), bytes.length]
      cuts.sort((a, b) => a - b)
      const chunks = cuts.map((from, index) => bytes.subarray(from, cuts[index + 1]))
      expect(read(...chunks)).toEqual(frames)
    }),
  )
})

test('a payload keeps nothing else in memory, however small a part it was', () => {
  const small = Buffer.concat([frameHead('data', 1, 1), Buffer.from('x')])
  const large = Buffer.concat([frameHead('data', 2, MAX_PAYLOAD), Buffer.alloc(MAX_PAYLOAD)])

  const [first, second] = read(Buffer.concat([small, large]))

  expect(first?.payload.buffer.byteLength).toBe(1)
  expect(second?.payload.buffer.byteLength).toBeLessThan(2 * MAX_PAYLOAD)
})

test.each([
  ['of an unknown kind', Buffer.alloc(9, 255), 'unknown kind 255'],
  ['with no data', frameHead('data', 1, 0), '0 bytes of data'],
  ['with too much data', frameHead('data', 1, MAX_PAYLOAD + 1), '65537 bytes of data'],
])('a frame %s is refused by its head', (_, bytes, message) => {
  expect(() => read(bytes)).toThrow(FrameError)
  expect(() => read(bytes)).toThrow(message)
})
