import { expect, test } from 'vitest'
import { Run } from '../../host/runs/run.ts'
import type { EventBody, RunEvent } from '../../shared/protocol.ts'

const MiB = 1024 * 1024
const anItem: EventBody = {
  type: 'item',
  item: { type: 'message', role: 'assistant', content: [] },
}
const anEnd = (run: Run) => run.failure(new Error('over'))

async function eventsOf(run: Run): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  for await (const event of run) events.push(event)
  return events
}

test('a reader that comes after a flood finds all but a part of what only showed progress', async () => {
  const run = new Run('run-1')
  const text = 'x'.repeat(1000)
  for (let i = 0; i < 20_000; i++) {
    run.emit({ type: 'tool.output', callId: 'call_1', text })
    if (i % 100 === 0) run.emit(anItem)
  }
  run.emit(anEnd(run))

  const events = await eventsOf(run)

  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1))
  expect(events.filter(({ type }) => type === 'item')).toHaveLength(200)
  expect(events.at(-1)?.type).toBe('finished')
  const shown = events.filter(({ type }) => type === 'tool.output').length
  expect(shown * text.length).toBeGreaterThan(MiB)
  expect(shown * text.length).toBeLessThan(4 * MiB)
})

test('a reader that keeps up misses nothing of a flood', async () => {
  const run = new Run('run-1')
  const reading = eventsOf(run)
  for (let i = 0; i < 20_000; i++) {
    run.emit({ type: 'text.delta', text: 'x'.repeat(1000) })
    if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  run.emit(anEnd(run))

  expect(await reading).toHaveLength(20_001)
})

test('a reader that has left may come back, and two share the events', async () => {
  const run = new Run('run-1')
  run.emit(anItem)
  run.emit(anItem)
  for await (const event of run) {
    expect(event.seq).toBe(1)
    break
  }

  const both = Promise.all([eventsOf(run), eventsOf(run)])
  run.emit(anEnd(run))

  const [one, other] = await both
  expect([...one, ...other].map(({ seq }) => seq).sort()).toEqual([2, 3])
})

test('the text of a result is what was said in pieces alone, such as a refusal', async () => {
  const run = new Run('r')
  const item = {
    type: 'message',
    role: 'assistant',
    content: [{ type: 'output_text', text: 'Look.' }],
  }
  run.emit({ type: 'item', item })
  run.emit({ type: 'text.delta', text: 'I cannot ' })
  run.emit({ type: 'text.delta', text: 'do that.' })
  run.emit({ ...run.failure(new Error()), status: 'done' })

  expect((await run.result).text).toBe('I cannot do that.')
})
