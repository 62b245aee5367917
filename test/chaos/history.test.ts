import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { historyOf } from '../../host/runs/history.ts'
import type { SessionLine } from '../../host/runs/session-log.ts'
import type { Item } from '../../shared/items.ts'
import { historyFault } from '../fakes/strict-history.ts'
import { isFull } from '../full-size.ts'
import { seed } from './seeded.ts'

const OWNER = 'codex:ada'
/** Two runs of ours, and one of somebody else. */
const OWNERS = { 'run-1': OWNER, 'run-2': 'codex:bob', 'run-3': OWNER }
type RunId = keyof typeof OWNERS

const sealedFor = (owner: string) => `sealed for ${owner}`
const sealed = '<sealed>'

const maybe = (value: unknown) =>
  fc.constantFrom(value, value, value, value, undefined, 7, '', null)

/** Few, so that they meet; some that the service would not take. */
const callId = fc.constantFrom('a', 'a', 'b', 'b', 'c', '', 'x'.repeat(70), undefined, 7)
const id = (prefix: string) =>
  fc.constantFrom(
    undefined,
    undefined,
    undefined,
    `${prefix}_1`,
    `${prefix}_2`,
    `${prefix}_3`,
    'other_1',
    `${prefix}_(`,
    `${prefix}_${'x'.repeat(70)}`,
    7,
  )

/** An item with what is given, without the fields that are undefined. */
function anItem(type: string, prefix: string, fields: Record<string, fc.Arbitrary<unknown>>) {
  return fc
    .record({ type: fc.constant(type), id: id(prefix), ...fields })
    .map((item) => JSON.parse(JSON.stringify(item)) as Item)
}

const textPart = (type: string) =>
  fc.constantFrom<unknown>(
    ...Array(5).fill({ type, text: 'hello' }),
    { type: 'refusal', refusal: 'No.' },
    { type },
    { text: 'hello' },
    null,
  )
const content = (type: string) =>
  fc.oneof(fc.array(textPart(type), { maxLength: 2 }), maybe('text'))

const someItem: fc.Arbitrary<Item> = fc.oneof(
  {
    weight: 4,
    arbitrary: anItem('function_call', 'fc', {
      call_id: callId,
      name: maybe('bash'),
      arguments: maybe('{}'),
    }),
  },
  {
    weight: 4,
    arbitrary: anItem('function_call_output', 'fco', { call_id: callId, output: maybe('done') }),
  },
  {
    weight: 2,
    arbitrary: anItem('custom_tool_call', 'ctc', {
      call_id: callId,
      name: maybe('apply_patch'),
      input: maybe('x'),
    }),
  },
  {
    weight: 2,
    arbitrary: anItem('custom_tool_call_output', 'ctco', {
      call_id: callId,
      output: fc.oneof(maybe('done'), fc.constant([{ type: 'input_text', text: 'done' }])),
    }),
  },
  {
    weight: 2,
    arbitrary: anItem('reasoning', 'rs', {
      summary: maybe([]),
      encrypted_content: maybe(sealed),
    }),
  },
  anItem('message', 'msg', { role: maybe('user'), content: content('input_text') }),
  anItem('message', 'msg', { role: maybe('assistant'), content: content('output_text') }),
  anItem('compaction', 'cmp', { encrypted_content: maybe(sealed) }),
  anItem('web_search_call', 'ws', {}),
  anItem('something_new', 'new', {}),
)

const runId = fc.constantFrom<RunId>('run-1', 'run-2', 'run-3')

const someLine: fc.Arbitrary<SessionLine> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({ type: fc.constant('item' as const), runId, item: someItem }),
  },
  fc.record({
    type: fc.constant('run' as const),
    runId,
    owner: fc.constant(''),
    at: fc.constant('2026-01-01T00:00:00.000Z'),
    provider: fc.constant('codex'),
    model: fc.constant('gpt-5.5'),
    workspace: fc.constant('/w'),
  }),
  fc.record({
    type: fc.constant('compacted' as const),
    runId,
    items: fc.array(someItem, { maxLength: 4 }),
  }),
  fc.record({ type: fc.constantFrom('reasoning-dropped', 'images-dropped'), runId }),
)

/**
 * What a session may hold whatever has happened: lines in any order, a line or a piece of the log
 * twice, a log that ends anywhere.
 */
const someLines: fc.Arbitrary<SessionLine[]> = fc
  .record({
    lines: fc.array(someLine, { maxLength: 10, size: 'max' }),
    from: fc.nat(15),
    count: fc.nat(4),
    to: fc.nat(20),
  })
  .map(({ lines, from, count, to }) =>
    lines.toSpliced(to, 0, ...lines.slice(from, from + count)).map(owned),
  )

/** Whose it is: that of a run, and what was sealed in it. */
function owned(line: SessionLine): SessionLine {
  if (line.type === 'session') return line
  const owner = OWNERS[line.runId as RunId]
  // A copy in any case: no two lines of a log are the same object.
  const own = (item: Item): Item => ({
    ...item,
    ...(item.encrypted_content === sealed ? { encrypted_content: sealedFor(owner) } : {}),
  })
  switch (line.type) {
    case 'run':
      return { ...line, owner }
    case 'item':
      return { ...line, item: own(line.item) }
    case 'compacted':
      return { ...line, items: line.items.map(own) }
    default:
      return line
  }
}

/** Also what was sealed for somebody else is refused. */
function faultFor(items: readonly Item[]): string | undefined {
  const isForeign = ({ encrypted_content: text }: Item) =>
    typeof text === 'string' && text !== '' && text !== sealedFor(OWNER)
  return historyFault(items) ?? (items.some(isForeign) ? 'It cannot be read.' : undefined)
}

/** The lines of a session that has these items and no other. */
function aSession(items: readonly Item[]): SessionLine[] {
  const run: SessionLine = {
    type: 'run',
    runId: 'run-1',
    owner: OWNER,
    at: '2026-01-01T00:00:00.000Z',
    provider: 'codex',
    model: 'gpt-5.5',
    workspace: '/w',
  }
  return [run, ...items.map((item) => ({ type: 'item' as const, runId: 'run-1', item }))]
}

const RUNS = isFull ? 1_000_000 : 10_000

test(`whatever ${RUNS} logs hold, the service takes the history, and what is mended needs no mending`, () => {
  let mended = 0
  fc.assert(
    fc.property(someLines, (lines) => {
      const { items, repairs } = historyOf(lines, OWNER)

      const fault = faultFor(items)
      if (fault) throw new Error(fault)
      if (repairs.length > 0) mended++
      // Some times faster than `expect`.
      return isDeepStrictEqual(historyOf(aSession(items), OWNER), { items, repairs: [] })
    }),
    { numRuns: RUNS, seed },
  )
  // Those that need none are there as well.
  expect(mended).toBeGreaterThan(RUNS / 2)
  expect(mended).toBeLessThan(RUNS)
}, 1_800_000)

test('what the service takes is handed on as it is', () => {
  let untouched = 0
  fc.assert(
    fc.property(fc.array(someItem, { maxLength: 6 }), (items) => {
      if (historyFault(items)) return
      untouched++
      expect(historyOf(aSession(items), OWNER)).toEqual({ items, repairs: [] })
    }),
    { numRuns: RUNS / 10, seed },
  )
  expect(untouched).toBeGreaterThan(RUNS / 500)
})
