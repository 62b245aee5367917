import { PassThrough, Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { readEvents } from '../../host/runs/read-events.ts'
import type { RunEvent } from '../../shared/protocol.ts'

const HEAD = { v: 1, runId: 'run-1' } as const
const text = (seq: number, said = 'a\u2028b'): RunEvent => ({
  ...HEAD,
  seq,
  type: 'text.delta',
  text: said,
})
const line = (event: object) => `${JSON.stringify(event)}\n`

/** What a reader gets of an agent that writes `chunks`: the events, and the error if there is one. */
async function read(...chunks: (string | Uint8Array)[]) {
  const events: RunEvent[] = []
  try {
    const stdout = Readable.from(chunks.map((chunk) => Buffer.from(chunk)))
    for await (const event of readEvents(stdout)) events.push(event)
    return { events }
  } catch (error) {
    return { events, error }
  }
}

test('events are the same wherever the bytes are cut', async () => {
  const bytes = Buffer.from(line(text(1, 'Zoë 🚀')) + line(text(2)))

  for (let cut = 0; cut <= bytes.length; cut++) {
    expect(await read(bytes.subarray(0, cut), bytes.subarray(cut))).toEqual({
      events: [text(1, 'Zoë 🚀'), text(2)],
    })
  }
})

test('an event comes as soon as its line is whole, not when the next one begins', async () => {
  const stdout = new PassThrough()
  const events = readEvents(stdout)

  stdout.write(line(text(1)))

  expect((await events.next()).value).toEqual(text(1))
  stdout.end()
})

test('a last line without its newline was torn and is none', async () => {
  expect(await read(line(text(1)), JSON.stringify(text(2)))).toEqual({ events: [text(1)] })
})

test('fields that a later version adds are no violation', async () => {
  expect(await read(line({ ...text(1), added: true }))).toEqual({ events: [text(1)] })
})

test.each([
  ['what is no JSON', 'Segmentation fault\n'],
  ['an empty line', '\n'],
  ['JSON that is no event', '[]\n'],
  ['an unknown type', line({ ...HEAD, seq: 2, type: 'surprise' })],
  ['another version', line({ ...text(2), v: 2 })],
  ['an event without its run', line({ ...text(2), runId: undefined })],
  ['a field of the wrong type', line({ ...text(2), text: 5 })],
  ['a gap in the numbers', line(text(3))],
  ['a number twice', line(text(1))],
  ['a status there is not', line({ ...HEAD, seq: 2, type: 'finished', status: 'great' })],
])('%s ends it all, after the events before it', async (_what, bad) => {
  const { events, error } = await read(line(text(1)), bad, line(text(2)))

  expect(events).toEqual([text(1)])
  expect(error).toMatchObject({
    code: 'protocol-violation',
    message: expect.stringContaining('after event 1'),
  })
})

test('a line that never ends does not fill the memory', async () => {
  let written = 0
  function* flood() {
    const chunk = Buffer.alloc(1024 * 1024, 'x')
    for (; written < 1000; written++) yield chunk
  }

  const events = readEvents(Readable.from(flood()))

  await expect(events.next()).rejects.toMatchObject({
    code: 'protocol-violation',
    message: expect.stringContaining('longer than'),
  })
  expect(written).toBeLessThan(100)
})
