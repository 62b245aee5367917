import { expect, test } from 'vitest'
import { historyOf } from '../../host/runs/history.ts'
import type { SessionLine } from '../../host/runs/session-log.ts'
import type { Item } from '../../shared/items.ts'

const OWNER = 'codex:ada'

/** The lines of a session with one run of `owner`. */
function aRun(
  items: readonly Item[],
  owner = OWNER,
  runId = 'run-1',
  workspace = '/w',
): SessionLine[] {
  const run: SessionLine = {
    type: 'run',
    runId,
    at: '2026-01-01T00:00:00.000Z',
    provider: 'codex',
    model: 'gpt-5.5',
    owner,
    workspace,
  }
  return [run, ...items.map((item) => ({ type: 'item' as const, runId, item }))]
}

const message = (text: string): Item => ({
  type: 'message',
  role: 'user',
  content: [{ type: 'input_text', text }],
})
const reasoning: Item = { type: 'reasoning', summary: [], encrypted_content: 'sealed' }
const call = (id: string): Item => ({
  type: 'function_call',
  call_id: id,
  name: 'bash',
  arguments: '{}',
})
const output = (id: string): Item => ({
  type: 'function_call_output',
  call_id: id,
  output: `of ${id}`,
})

test('a sound history is handed on as it is', () => {
  const items = [message('a'), reasoning, call('1'), call('2'), output('2'), output('1')]

  expect(historyOf(aRun(items), OWNER)).toEqual({ items, repairs: [] })
})

test('a call that was cut off gets an output that says so, right behind it', () => {
  const { items, repairs } = historyOf(aRun([call('1'), call('2'), output('2')]), OWNER)

  expect(items).toEqual([
    call('1'),
    {
      type: 'function_call_output',
      id: expect.stringMatching(/^fco_/),
      call_id: '1',
      output: expect.stringContaining('not known'),
    },
    call('2'),
    output('2'),
  ])
  expect(repairs).toEqual(['1 tool calls were cut off before their result was kept'])
})

test('what names something elsewhere in an item of the model is left out, and in ours stays', () => {
  const image = { type: 'input_image', image_url: 'data:image/png;base64,iVBO' }
  const ours: Item = { type: 'message', role: 'user', content: [image] }
  const items = [ours, { ...call('1'), server_label: 'a' }, { ...output('1'), output: [image] }]

  expect(historyOf(aRun(items), OWNER)).toEqual({
    items: [ours, call('1'), { ...output('1'), output: [image] }],
    repairs: ['1 items are sent without what in them names something elsewhere'],
  })
})

test('the lost output of a free-form call is one of a free-form call', () => {
  const free: Item = { type: 'custom_tool_call', call_id: '1', name: 'patch', input: 'x' }

  expect(historyOf(aRun([free]), OWNER).items[1]).toMatchObject({
    type: 'custom_tool_call_output',
    call_id: '1',
  })
})

test('an output without a call is left out, and so is a second one', () => {
  const items = [output('0'), call('1'), output('1'), output('1'), message('b')]

  expect(historyOf(aRun(items), OWNER)).toEqual({
    items: [call('1'), output('1'), message('b')],
    repairs: ['2 tool results without a call are not sent'],
  })
})

test('reasoning goes back only to the account it was sealed for', () => {
  const lines = [
    ...aRun([reasoning, message('mine')], OWNER, 'run-1'),
    ...aRun([reasoning, message('theirs')], 'openai:1234', 'run-2'),
  ]

  expect(historyOf(lines, OWNER)).toEqual({
    items: [reasoning, message('mine'), message('theirs')],
    repairs: ['1 reasoning items of another account or provider are not sent'],
  })
})

test('after a compaction the conversation is what the compaction left, and what came behind it', () => {
  const sealed = { type: 'compaction', encrypted_content: 'sealed' }
  const lines: SessionLine[] = [
    ...aRun([message('a'), reasoning, call('1'), output('1')]),
    { type: 'compacted', runId: 'run-1', items: [message('a'), sealed] },
    ...aRun([message('b')], OWNER, 'run-2'),
  ]

  expect(historyOf(lines, OWNER).items).toEqual([message('a'), sealed, message('b')])
  // Another account cannot read what is sealed, but all that was sealed is still in the log.
  expect(historyOf(lines, 'openai:1234').items).toEqual([
    message('a'),
    call('1'),
    output('1'),
    message('b'),
  ])
})

test('a summary in plain words is for every account', () => {
  const lines: SessionLine[] = [
    ...aRun([message('a'), call('1'), output('1')]),
    { type: 'compacted', runId: 'run-1', items: [message('summary')] },
  ]

  expect(historyOf(lines, 'openai:1234').items).toEqual([message('summary')])
})

test('reasoning that was given up stays given up, what came later is kept', () => {
  const lines: SessionLine[] = [
    ...aRun([message('a'), reasoning]),
    { type: 'reasoning-dropped', runId: 'run-1' },
    ...aRun([reasoning, message('b')], OWNER, 'run-2'),
  ]

  expect(historyOf(lines, OWNER).items).toEqual([message('a'), reasoning, message('b')])
})

test('images that were left out stay left out, what came later is kept', () => {
  const image = { type: 'input_image', image_url: 'data:image/png;base64,AAAA' }
  const prompt: Item = { type: 'message', role: 'user', content: [image] }
  const lines: SessionLine[] = [
    ...aRun([prompt, call('1'), { ...output('1'), output: [image] }]),
    { type: 'images-dropped', runId: 'run-1' },
    ...aRun([prompt], OWNER, 'run-2'),
  ]
  const note = { type: 'input_text', text: expect.stringContaining('left out') }

  expect(historyOf(lines, OWNER).items).toEqual([
    { ...prompt, content: [note] },
    call('1'),
    { ...output('1'), output: [note] },
    prompt,
  ])
})

test.each([
  ['stays in its folder', ['/w a', '/w b'], ['a', 'b']],
  ['moves', ['/w a', '/v b', '/v c'], ['a', 'moved', 'b', 'c']],
  ['moves and has said nothing there yet', ['/w a', '/v'], ['a', 'moved']],
  ['comes back before anything is said elsewhere', ['/w a', '/v', '/w b'], ['a', 'b']],
  ['comes back', ['/w a', '/v b', '/w c'], ['a', 'moved', 'b', 'moved', 'c']],
  ['begins', ['/w'], []],
])('the model is told where a session %s', (_, runs, expected) => {
  const lines = runs.flatMap((run, index) => {
    const [workspace, text] = run.split(' ')
    return aRun(text ? [message(text)] : [], OWNER, `run-${index}`, workspace)
  })

  const { items } = historyOf(lines, OWNER)

  const texts = items.map(({ role, content }) =>
    role === 'developer' ? 'moved' : (content as { text: string }[])[0]?.text,
  )
  expect(texts).toEqual(expected)
})
